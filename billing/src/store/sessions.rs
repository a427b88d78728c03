//! The portal's sessions, and attempts to sign in at a firm's own provider. Of what a browser holds only the digest is kept.

use jiff::Timestamp;

use super::ingest::nanosecond_of;
use super::tokens::role_of;
use super::{Holder, Store, StoreError, in_transaction, on_readers};
use crate::digest::Digest;
use crate::metering::decide::LedgerId;

impl Store {
    /// Opens a session of its holder, and forgets those that have lapsed.
    pub async fn open_session(
        &self,
        secret: Digest,
        ledger: LedgerId,
        holder: &Holder,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let (now, until) = (nanosecond_of(now)?, nanosecond_of(until)?);
        let insert =
            "INSERT INTO portal_session (digest, ledger_id, token_id, provider, person, role, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        in_transaction!(self, transaction => {
            sqlx::query("DELETE FROM portal_session WHERE expires_at <= $1").bind(now).execute(&mut *transaction).await?;
            sqlx::query(insert).bind(&secret.as_bytes()[..]).bind(ledger).bind(&holder.token).bind(&holder.provider)
                .bind(&holder.name).bind(holder.role.name()).bind(until).execute(&mut *transaction).await?;
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Whose session it is, if neither it nor its token has lapsed.
    pub async fn session(
        &self,
        secret: Digest,
        now: Timestamp,
    ) -> Result<Option<(LedgerId, Holder)>, StoreError> {
        let text =
            "SELECT s.ledger_id, s.token_id, s.provider, coalesce(t.name, s.person), coalesce(t.role, s.role)
            FROM portal_session s LEFT JOIN access_token t ON t.id = s.token_id AND t.ledger_id = s.ledger_id
            WHERE s.digest = $1 AND s.expires_at > $2
                AND (s.token_id = '' OR (t.id IS NOT NULL AND t.revoked_at IS NULL AND t.expires_at > $2))";
        let now = nanosecond_of(now)?;
        let row: Option<(i64, String, String, String, String)> = on_readers!(self, pool => {
            sqlx::query_as(text).bind(&secret.as_bytes()[..]).bind(now).fetch_optional(pool).await
        })?;
        row.map(|(ledger, token, provider, name, role)| {
            Ok((
                ledger,
                Holder {
                    token,
                    provider,
                    name,
                    role: role_of(&role)?,
                },
            ))
        })
        .transpose()
    }

    /// Ends a session.
    pub async fn close_session(&self, secret: Digest) -> Result<(), StoreError> {
        in_transaction!(self, transaction => {
            sqlx::query("DELETE FROM portal_session WHERE digest = $1").bind(&secret.as_bytes()[..])
                .execute(&mut *transaction).await?;
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Notes that somebody is on the way to a provider, and forgets who did not come back.
    pub async fn begin_attempt(
        &self,
        secret: Digest,
        provider: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let (now, until) = (nanosecond_of(now)?, nanosecond_of(until)?);
        let insert = "INSERT INTO sign_in_attempt (digest, provider, expires_at) VALUES ($1, $2, $3)";
        in_transaction!(self, transaction => {
            sqlx::query("DELETE FROM sign_in_attempt WHERE expires_at <= $1").bind(now).execute(&mut *transaction).await?;
            sqlx::query(insert).bind(&secret.as_bytes()[..]).bind(provider).bind(until)
                .execute(&mut *transaction).await?;
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Ends an attempt, whatever becomes of it. `false` if it was none of that provider, has lapsed, or was ended before: of
    /// several who come with it at once one alone is told `true`.
    pub async fn end_attempt(
        &self,
        secret: Digest,
        provider: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let text = "DELETE FROM sign_in_attempt WHERE digest = $1 AND provider = $2 AND expires_at > $3";
        let now = nanosecond_of(now)?;
        in_transaction!(self, transaction => {
            let done = sqlx::query(text).bind(&secret.as_bytes()[..]).bind(provider).bind(now)
                .execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(done.rows_affected() == 1)
        })
    }
}
