//! The provider's own people: tokens by which they sign in at the back office, and their sessions. Of a token and of what a
//! browser holds only the digest is kept.

use jiff::Timestamp;

use super::ingest::{instant_of, nanosecond_of};
use super::{Store, StoreError, in_transaction, on_readers};
use crate::digest::Digest;

/// What one of the provider's people may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StaffRole {
    /// See plans, runs, drafts, bills and disputes of all tenants
    Reader,
    /// Also begin runs, approve drafts, and answer disputes
    Approver,
}

impl StaffRole {
    /// As it is kept and sent.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Approver => "approver",
        }
    }

    fn named(name: &str) -> Result<Self, StoreError> {
        [Self::Reader, Self::Approver]
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or_else(|| StoreError::unreadable("role"))
    }
}

/// One of the provider's people who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staff {
    /// Of the token.
    pub token: String,
    /// Who.
    pub name: String,
    /// What they may do.
    pub role: StaffRole,
}

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StaffToken {
    /// Short, unique, no secret.
    pub id: String,
    /// Whose.
    pub name: String,
    /// What it allows.
    pub role: StaffRole,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// From when on it opens nothing.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

type TokenRow = (String, String, String, String, i64, i64, Option<i64>);
type StaffRow = (String, String, String);

impl Store {
    /// Makes a token.
    pub async fn create_staff_token(&self, token: &StaffToken, digest: Digest) -> Result<(), StoreError> {
        let text = "INSERT INTO staff_token (id, digest, name, role, created_by, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let (now, until) = (nanosecond_of(token.created_at)?, nanosecond_of(token.expires_at)?);
        in_transaction!(self, transaction => {
            sqlx::query(text).bind(&token.id).bind(&digest.as_bytes()[..]).bind(&token.name).bind(token.role.name())
                .bind(&token.created_by).bind(now).bind(until).execute(&mut *transaction).await?;
            transaction.commit().await?;
        });
        Ok(())
    }

    /// All tokens, the newest first.
    pub async fn staff_tokens(&self) -> Result<Vec<StaffToken>, StoreError> {
        let text = "SELECT id, name, role, created_by, created_at, expires_at, revoked_at FROM staff_token
            ORDER BY created_at DESC, id";
        let rows: Vec<TokenRow> = on_readers!(self, pool => sqlx::query_as(text).fetch_all(pool).await)?;
        rows.into_iter().map(token_of).collect()
    }

    /// Revokes a token; its sessions end with it. `false` if there is none that is not revoked yet.
    pub async fn revoke_staff_token(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let text = "UPDATE staff_token SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
        let now = nanosecond_of(now)?;
        in_transaction!(self, transaction => {
            let done = sqlx::query(text).bind(id).bind(now).execute(&mut *transaction).await?;
            sqlx::query("DELETE FROM staff_session WHERE token_id = $1").bind(id).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// Whose token it is, if it is neither revoked nor lapsed.
    pub async fn staff_of_token(&self, digest: Digest, now: Timestamp) -> Result<Option<Staff>, StoreError> {
        let text = "SELECT id, name, role FROM staff_token
            WHERE digest = $1 AND revoked_at IS NULL AND expires_at > $2";
        let now = nanosecond_of(now)?;
        let row: Option<StaffRow> = on_readers!(self, pool => {
            sqlx::query_as(text).bind(&digest.as_bytes()[..]).bind(now).fetch_optional(pool).await
        })?;
        row.map(staff_of).transpose()
    }

    /// Opens a session, and forgets those that have lapsed.
    pub async fn open_staff_session(
        &self,
        secret: Digest,
        staff: &Staff,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let (now, until) = (nanosecond_of(now)?, nanosecond_of(until)?);
        let insert = "INSERT INTO staff_session (digest, token_id, expires_at) VALUES ($1, $2, $3)";
        in_transaction!(self, transaction => {
            sqlx::query("DELETE FROM staff_session WHERE expires_at <= $1").bind(now).execute(&mut *transaction).await?;
            sqlx::query(insert).bind(&secret.as_bytes()[..]).bind(&staff.token).bind(until)
                .execute(&mut *transaction).await?;
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Whose session it is, if neither it nor its token has lapsed.
    pub async fn staff_of_session(
        &self,
        secret: Digest,
        now: Timestamp,
    ) -> Result<Option<Staff>, StoreError> {
        let text = "SELECT t.id, t.name, t.role FROM staff_session s JOIN staff_token t ON t.id = s.token_id
            WHERE s.digest = $1 AND s.expires_at > $2 AND t.revoked_at IS NULL AND t.expires_at > $2";
        let now = nanosecond_of(now)?;
        let row: Option<StaffRow> = on_readers!(self, pool => {
            sqlx::query_as(text).bind(&secret.as_bytes()[..]).bind(now).fetch_optional(pool).await
        })?;
        row.map(staff_of).transpose()
    }

    /// Ends a session.
    pub async fn close_staff_session(&self, secret: Digest) -> Result<(), StoreError> {
        in_transaction!(self, transaction => {
            sqlx::query("DELETE FROM staff_session WHERE digest = $1").bind(&secret.as_bytes()[..])
                .execute(&mut *transaction).await?;
            transaction.commit().await?;
        });
        Ok(())
    }
}

fn staff_of((token, name, role): StaffRow) -> Result<Staff, StoreError> {
    Ok(Staff {
        token,
        name,
        role: StaffRole::named(&role)?,
    })
}

fn token_of(row: TokenRow) -> Result<StaffToken, StoreError> {
    let (id, name, role, created_by, created_at, expires_at, revoked_at) = row;
    Ok(StaffToken {
        id,
        name,
        role: StaffRole::named(&role)?,
        created_by,
        created_at: instant_of(created_at)?,
        expires_at: instant_of(expires_at)?,
        revoked_at: revoked_at.map(instant_of).transpose()?,
    })
}
