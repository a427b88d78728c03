//! Access tokens that a client firm makes for its people and programs. Of a token only the digest is kept. The account's own
//! token, which its operator hands out, is an administrator's.

use jiff::{SignedDuration, Timestamp};

use super::ingest::{instant_of, nanosecond_of};
use super::{Store, StoreError, in_transaction, on_readers};
use crate::digest::Digest;
use crate::metering::decide::LedgerId;

/// How fresh the time of last use is kept.
const USE_IS_NOTED_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// What who signed in, or the holder of a token, may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// See usage, bills and service levels.
    Viewer,
    /// Also dispute bills, and set budgets.
    Finance,
    /// Also make and revoke tokens, and read the audit.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Finance, Self::Admin];

    /// As it is kept and sent.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Finance => "finance",
            Self::Admin => "admin",
        }
    }

    /// The role of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Of the access token; empty for the account's own, and for who signed in at a provider.
    pub token: String,
    /// The OpenID provider that vouches for it; empty for the holder of a token.
    pub provider: String,
    /// What the token is called, empty for the account's own; or who it is, as the provider says.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

impl Holder {
    /// The holder of the account's own token.
    pub fn of_account() -> Self {
        Self {
            token: String::new(),
            provider: String::new(),
            name: String::new(),
            role: Role::Admin,
        }
    }
}

/// A token that is to be made.
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    /// Short, unique, no secret.
    pub id: &'a str,
    /// Of the token itself.
    pub digest: Digest,
    /// For people.
    pub name: &'a str,
    /// What it may do.
    pub role: Role,
    /// Who makes it.
    pub created_by: &'a str,
    /// From when on it opens nothing.
    pub expires_at: Timestamp,
}

/// An access token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// Short, unique, no secret.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// From when on it opens nothing.
    pub expires_at: Timestamp,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

type TokenRow = (String, String, String, String, i64, i64, Option<i64>, Option<i64>);

impl Store {
    /// Makes a token.
    pub async fn create_token(
        &self,
        ledger: LedgerId,
        token: &NewToken<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let text =
            "INSERT INTO access_token (id, ledger_id, digest, name, role, created_by, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let (now, until) = (nanosecond_of(now)?, nanosecond_of(token.expires_at)?);
        in_transaction!(self, transaction => {
            sqlx::query(text).bind(token.id).bind(ledger).bind(&token.digest.as_bytes()[..]).bind(token.name)
                .bind(token.role.name()).bind(token.created_by).bind(now).bind(until).execute(&mut *transaction).await?;
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Revokes a ledger's token; sessions that it opened end with it. `false` if there is none that is not revoked yet.
    pub async fn revoke_token(&self, ledger: LedgerId, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let text =
            "UPDATE access_token SET revoked_at = $3 WHERE ledger_id = $1 AND id = $2 AND revoked_at IS NULL";
        let now = nanosecond_of(now)?;
        in_transaction!(self, transaction => {
            let done = sqlx::query(text).bind(ledger).bind(id).bind(now).execute(&mut *transaction).await?;
            sqlx::query("DELETE FROM portal_session WHERE ledger_id = $1 AND token_id = $2").bind(ledger).bind(id)
                .execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// A ledger's tokens, the newest first.
    pub async fn tokens(&self, ledger: LedgerId) -> Result<Vec<AccessToken>, StoreError> {
        let text = "SELECT id, name, role, created_by, created_at, expires_at, last_used_at, revoked_at FROM access_token
            WHERE ledger_id = $1 ORDER BY created_at DESC, id";
        let rows: Vec<TokenRow> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_all(pool).await)?;
        rows.into_iter().map(token_of).collect()
    }

    /// Whose access token it is, if it is neither revoked nor lapsed; its use is noted.
    pub async fn holder_of_token(
        &self,
        digest: Digest,
        now: Timestamp,
    ) -> Result<Option<(LedgerId, Holder)>, StoreError> {
        let text = "SELECT ledger_id, id, name, role, coalesce(last_used_at, 0) FROM access_token
            WHERE digest = $1 AND revoked_at IS NULL AND expires_at > $2";
        let at = nanosecond_of(now)?;
        let row: Option<(i64, String, String, String, i64)> = on_readers!(self, pool => {
            sqlx::query_as(text).bind(&digest.as_bytes()[..]).bind(at).fetch_optional(pool).await
        })?;
        let Some((ledger, id, name, role, used)) = row else {
            return Ok(None);
        };
        if instant_of(used)?.duration_until(now) >= USE_IS_NOTED_EVERY {
            in_transaction!(self, transaction => {
                sqlx::query("UPDATE access_token SET last_used_at = $2 WHERE id = $1").bind(&id).bind(at)
                    .execute(&mut *transaction).await?;
                transaction.commit().await?;
            });
        }
        let role = role_of(&role)?;
        Ok(Some((
            ledger,
            Holder {
                token: id,
                provider: String::new(),
                name,
                role,
            },
        )))
    }
}

pub(super) fn role_of(name: &str) -> Result<Role, StoreError> {
    Role::named(name).ok_or_else(|| StoreError::unreadable("role"))
}

fn token_of(row: TokenRow) -> Result<AccessToken, StoreError> {
    let (id, name, role, created_by, created_at, expires_at, last_used_at, revoked_at) = row;
    Ok(AccessToken {
        id,
        name,
        role: role_of(&role)?,
        created_by,
        created_at: instant_of(created_at)?,
        expires_at: instant_of(expires_at)?,
        last_used_at: last_used_at.map(instant_of).transpose()?,
        revoked_at: revoked_at.map(instant_of).transpose()?,
    })
}
