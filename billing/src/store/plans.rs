//! Versions of rate plans. A version is (name, UID, generation of the RatePlan object); once a bill used it, it stands.

use jiff::Timestamp;

use super::ingest::nanosecond_of;
use super::{Store, StoreError, in_transaction, on_readers};
use crate::digest::Digest;
use crate::metering::report::Party;

/// A version of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanVersion {
    /// Name of the RatePlan object.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// Canonical JSON of its spec.
    pub spec: String,
    /// Of that.
    pub digest: Digest,
}

/// What became of a plan that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutPlan {
    /// It is stored.
    Stored,
    /// A bill used the object with another content.
    Changed,
}

type Row = (String, String, i64, String, Vec<u8>);

impl Store {
    /// Stores a version. The same again changes nothing; another content only replaces what no bill used: once one did, the
    /// object's content stays, whatever its generation.
    pub async fn put_plan(&self, plan: &PlanVersion, now: Timestamp) -> Result<PutPlan, StoreError> {
        let PlanVersion {
            name,
            uid,
            generation,
            spec,
            digest,
        } = plan;
        let now = nanosecond_of(now)?;
        let put = "INSERT INTO rate_plan (name, uid, generation, spec, digest, recorded_at) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (name, uid, generation) DO NOTHING";
        let stored = self.dialect(
            "SELECT generation, digest FROM rate_plan WHERE name = $1 AND uid = $2 ORDER BY generation DESC",
            "SELECT generation, digest FROM rate_plan WHERE name = $1 AND uid = $2 ORDER BY generation DESC FOR UPDATE",
        );
        let used = "SELECT count(*) FROM invoice_plan WHERE name = $1 AND uid = $2";
        let replace =
            "UPDATE rate_plan SET spec = $4, digest = $5 WHERE name = $1 AND uid = $2 AND generation = $3";
        let digest = &digest.as_bytes()[..];
        in_transaction!(self, transaction => {
            // First, so that there is a row to be locked: a bill that is about to use another's is waited for, and seen.
            let is_new = sqlx::query(put).bind(name).bind(uid).bind(generation).bind(spec).bind(digest).bind(now)
                .execute(&mut *transaction).await?.rows_affected() > 0;
            let mut stored: Vec<(i64, Vec<u8>)> =
                sqlx::query_as(stored).bind(name).bind(uid).fetch_all(&mut *transaction).await?;
            if is_new {
                stored.retain(|(known, _)| known != generation);
            } else if stored.iter().any(|(known, content)| known == generation && content == digest) {
                return Ok(PutPlan::Stored);
            }
            let (bills,): (i64,) = sqlx::query_as(used).bind(name).bind(uid).fetch_one(&mut *transaction).await?;
            let newest = stored.first();
            if bills > 0 && newest.is_some_and(|(known, content)| known >= generation || content != digest) {
                return Ok(PutPlan::Changed);
            }
            if !is_new {
                sqlx::query(replace).bind(name).bind(uid).bind(generation).bind(spec).bind(digest)
                    .execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(PutPlan::Stored)
        })
    }

    /// The version that bills of that plan use now: of the object that appeared last, the highest generation.
    pub async fn newest_plan(&self, name: &str) -> Result<Option<PlanVersion>, StoreError> {
        let text = "SELECT p.name, p.uid, p.generation, p.spec, p.digest FROM rate_plan p WHERE p.name = $1
            ORDER BY (SELECT min(q.recorded_at) FROM rate_plan q WHERE q.name = p.name AND q.uid = p.uid) DESC,
                p.uid DESC, p.generation DESC
            LIMIT 1";
        let row: Option<Row> =
            on_readers!(self, pool => sqlx::query_as(text).bind(name).fetch_optional(pool).await)?;
        row.map(version_of).transpose()
    }

    /// All versions of all plans that a party's account had, has or will have; none without an account.
    pub async fn plans_of_party(&self, party: &Party) -> Result<Vec<PlanVersion>, StoreError> {
        let text = "SELECT p.name, p.uid, p.generation, p.spec, p.digest FROM rate_plan p WHERE p.name IN (
                SELECT a.plan FROM plan_assignment a JOIN ledger l ON l.id = a.ledger_id WHERE l.tenant_uid = $1 AND l.tenant = $2)
            ORDER BY p.name, p.uid, p.generation";
        let (uid, tenant) = (party.tenant_uid.as_str(), party.tenant.as_str());
        let rows: Vec<Row> =
            on_readers!(self, pool => sqlx::query_as(text).bind(uid).bind(tenant).fetch_all(pool).await)?;
        rows.into_iter().map(version_of).collect()
    }

    /// One version.
    pub async fn plan_version(
        &self,
        name: &str,
        uid: &str,
        generation: i64,
    ) -> Result<Option<PlanVersion>, StoreError> {
        let text = "SELECT name, uid, generation, spec, digest FROM rate_plan
            WHERE name = $1 AND uid = $2 AND generation = $3";
        let row: Option<Row> = on_readers!(self, pool => {
            sqlx::query_as(text).bind(name).bind(uid).bind(generation).fetch_optional(pool).await
        })?;
        row.map(version_of).transpose()
    }
}

fn version_of(row: Row) -> Result<PlanVersion, StoreError> {
    let (name, uid, generation, spec, digest) = row;
    let digest = Digest::try_from(digest.as_slice()).map_err(|_| StoreError::unreadable("plan"))?;
    Ok(PlanVersion {
        name,
        uid,
        generation,
        spec,
        digest,
    })
}
