//! What the provider's own people see of all tenants at once.

use jiff::Timestamp;

use super::ingest::instant_of;
use super::{Dispute, Store, StoreError, on_readers};
use crate::bill::state::InvoiceState;

/// What was billed for a period, over all tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BilledInPeriod {
    /// Bills and notes by the state that they are in.
    pub states: Vec<(InvoiceState, u64)>,
    /// What bills and notes come to, in smallest units, by ISO code.
    pub totals: Vec<(String, i64)>,
}

/// A dispute that nobody answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDispute {
    /// Name of the tenant.
    pub tenant: String,
    /// What it objects to.
    pub dispute: Dispute,
}

/// A tenant whose books do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantDrift {
    /// Its name.
    pub tenant: String,
    /// What was found.
    pub findings: String,
    /// When it was found first.
    pub found_at: Timestamp,
}

/// A version of a plan, with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedPlan {
    /// Name of the RatePlan object.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// Digest of its content, hexadecimal.
    pub digest: String,
    /// When billing was told of it.
    pub recorded_at: Timestamp,
    /// Bills and notes that were made by it.
    pub bills: u64,
}

const STATES: &str = "SELECT s.state, count(*) FROM invoice i JOIN invoice_state s ON s.number = i.number
    WHERE i.period = $1 AND s.ordinal = (SELECT max(o.ordinal) FROM invoice_state o WHERE o.number = i.number)
    GROUP BY s.state ORDER BY s.state";
const TOTALS: &str = "SELECT p.currency, CAST(sum(e.amount) AS BIGINT) FROM invoice i
    JOIN journal_posting p ON p.number = i.number AND p.posting = 'issue'
    JOIN journal_entry e ON e.number = p.number AND e.posting = p.posting AND e.account = 'receivable'
    WHERE i.period = $1 GROUP BY p.currency ORDER BY p.currency";
const OPEN_DISPUTES: &str =
    "SELECT a.tenant, d.number, d.line, d.reason, d.opened_by, d.opened_at FROM dispute d
    JOIN account a ON a.ledger_id = d.ledger_id
    JOIN invoice_state s ON s.number = d.number AND s.state = 'disputed' AND s.recorded_at <= d.opened_at
    WHERE s.ordinal = (SELECT max(o.ordinal) FROM invoice_state o WHERE o.number = d.number)
    ORDER BY d.opened_at, d.id LIMIT $1";
const DRIFTS: &str =
    "SELECT a.tenant, d.findings, d.found_at FROM drift d JOIN account a ON a.ledger_id = d.ledger_id
    ORDER BY d.found_at, a.tenant LIMIT $1";
const PLANS: &str = "SELECT p.name, p.uid, p.generation, p.digest, p.recorded_at,
    (SELECT count(*) FROM invoice_plan i WHERE i.name = p.name AND i.uid = p.uid AND i.generation = p.generation)
    FROM rate_plan p ORDER BY p.name,
    (SELECT min(q.recorded_at) FROM rate_plan q WHERE q.name = p.name AND q.uid = p.uid) DESC, p.uid DESC, p.generation DESC";

impl Store {
    /// What was billed for a period.
    pub async fn billed_of(&self, period: &str) -> Result<BilledInPeriod, StoreError> {
        let states: Vec<(String, i64)> =
            on_readers!(self, pool => sqlx::query_as(STATES).bind(period).fetch_all(pool).await)?;
        let totals: Vec<(String, i64)> =
            on_readers!(self, pool => sqlx::query_as(TOTALS).bind(period).fetch_all(pool).await)?;
        let state = |(name, count): (String, i64)| {
            let state = InvoiceState::from_name(&name).ok_or_else(|| StoreError::unreadable("state"))?;
            Ok::<_, StoreError>((state, count_of(count)?))
        };
        Ok(BilledInPeriod {
            states: states.into_iter().map(state).collect::<Result<_, _>>()?,
            totals,
        })
    }

    /// Disputes that wait for an answer, the oldest first.
    pub async fn open_disputes(&self, most: i64) -> Result<Vec<OpenDispute>, StoreError> {
        let rows: Vec<(String, String, String, String, String, i64)> =
            on_readers!(self, pool => sqlx::query_as(OPEN_DISPUTES).bind(most).fetch_all(pool).await)?;
        let open = |(tenant, number, line, reason, opened_by, at)| {
            Ok(OpenDispute {
                tenant,
                dispute: Dispute {
                    number,
                    line,
                    reason,
                    opened_by,
                    opened_at: instant_of(at)?,
                },
            })
        };
        rows.into_iter().map(open).collect()
    }

    /// Tenants whose books do not agree, the longest known first.
    pub async fn drifts(&self, most: i64) -> Result<Vec<TenantDrift>, StoreError> {
        let rows: Vec<(String, String, i64)> =
            on_readers!(self, pool => sqlx::query_as(DRIFTS).bind(most).fetch_all(pool).await)?;
        let drift = |(tenant, findings, at)| {
            Ok(TenantDrift {
                tenant,
                findings,
                found_at: instant_of(at)?,
            })
        };
        rows.into_iter().map(drift).collect()
    }

    /// All versions of all plans; of a name the one that counts comes first.
    pub async fn recorded_plans(&self) -> Result<Vec<RecordedPlan>, StoreError> {
        let rows: Vec<(String, String, i64, Vec<u8>, i64, i64)> =
            on_readers!(self, pool => sqlx::query_as(PLANS).fetch_all(pool).await)?;
        let plan = |(name, uid, generation, digest, at, bills): (String, String, i64, Vec<u8>, i64, i64)| {
            let digest = crate::digest::Digest::try_from(digest.as_slice());
            Ok(RecordedPlan {
                name,
                uid,
                generation,
                digest: digest.map_err(|_| StoreError::unreadable("plan"))?.to_string(),
                recorded_at: instant_of(at)?,
                bills: count_of(bills)?,
            })
        };
        rows.into_iter().map(plan).collect()
    }
}

fn count_of(count: i64) -> Result<u64, StoreError> {
    u64::try_from(count).map_err(|_| StoreError::unreadable("count"))
}
