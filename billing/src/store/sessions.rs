//! Sessions of the portal: only the digest of a session's secret is kept.

use jiff::Timestamp;

use super::ingest::nanosecond_of;
use super::{Store, StoreError, in_transaction, on_readers};
use crate::digest::Digest;
use crate::metering::decide::LedgerId;

impl Store {
    /// Opens a session, and forgets those that have lapsed.
    pub async fn open_session(
        &self,
        secret: Digest,
        ledger: LedgerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let (now, until) = (nanosecond_of(now)?, nanosecond_of(until)?);
        let insert = "INSERT INTO portal_session (digest, ledger_id, expires_at) VALUES ($1, $2, $3)";
        in_transaction!(self, transaction => {
            sqlx::query("DELETE FROM portal_session WHERE expires_at <= $1").bind(now).execute(&mut *transaction).await?;
            sqlx::query(insert).bind(&secret.as_bytes()[..]).bind(ledger).bind(until).execute(&mut *transaction).await?;
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Whose session it is, if it has not lapsed.
    pub async fn session(&self, secret: Digest, now: Timestamp) -> Result<Option<LedgerId>, StoreError> {
        let text = "SELECT ledger_id FROM portal_session WHERE digest = $1 AND expires_at > $2";
        let now = nanosecond_of(now)?;
        let row: Option<(i64,)> = on_readers!(self, pool => {
            sqlx::query_as(text).bind(&secret.as_bytes()[..]).bind(now).fetch_optional(pool).await
        })?;
        Ok(row.map(|(ledger,)| ledger))
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
}
