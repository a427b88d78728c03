//! One batch, one transaction: hold the ledgers, claim identities, load what is known, decide, write, commit.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use springtide_proto::error::Reason;
use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::{Store, StoreError};
use crate::digest::Digest;
use crate::metering::decide::{
    Candidate, Changes, Identity, LedgerId, NewEvent, OpenLedger, Sequence, Tracked, TrackedEvents, claims,
    decide, referred,
};
use crate::metering::report::{Event, Examined, Party, Rejection, Report, Verdict, dimensions_to_json};
use crate::metering::standing::Standing;
use crate::rating::number::Exact;

/// (tenant UID, tenant, ledger, open statement).
pub(super) type LedgerRow = (String, String, i64, i64);
/// (sequence, ledger, source, id, hash, standing, time, meter, quantity in billionths, dimensions, reversal of).
pub(super) type KnownRow = (
    i64,
    i64,
    String,
    String,
    Vec<u8>,
    i64,
    i64,
    String,
    String,
    String,
    Option<String>,
);

/// What ingest asks of a transaction of either database.
pub(super) trait IngestTransaction {
    /// (tenant UID, tenant) of those UIDs that are registered.
    async fn registered_names(&mut self, uids: &[String]) -> Result<Vec<(String, String)>, StoreError>;
    /// The parties' ledgers, made where missing, whose open statements cannot be closed until the transaction ends.
    async fn hold_ledgers(&mut self, parties: &[&Party]) -> Result<Vec<LedgerRow>, StoreError>;
    /// Inserts the identities that are new and returns those.
    async fn claim(
        &mut self,
        claims: &BTreeMap<Identity, Digest>,
    ) -> Result<Vec<(Sequence, i64, String, String)>, StoreError>;
    /// Those of the identities that have an event, held until the transaction ends.
    async fn load_known(&mut self, identities: &[&Identity]) -> Result<Vec<KnownRow>, StoreError>;
    /// Writes what was decided.
    async fn apply(&mut self, changes: &Changes, now: i64) -> Result<(), StoreError>;
    /// Makes it durable.
    async fn finish(self) -> Result<(), StoreError>;
}

/// The migrations of a database, as (version, what it is about, statements).
pub(super) fn migrations(texts: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migration = |(version, description, text): &(i64, &'static str, &'static str)| {
        let (description, text) = (Cow::Borrowed(*description), SqlStr::from_static(text));
        Migration::new(*version, description, MigrationType::Simple, text, false)
    };
    Migrator::with_migrations(texts.iter().map(migration).collect())
}

impl Store {
    /// Takes examined records; when it returns, what is accepted is durable. A verdict for each, in order.
    pub async fn ingest(&self, records: Vec<Examined>, now: Timestamp) -> Result<Vec<Verdict>, StoreError> {
        match self {
            Self::Sqlite(database) => ingest(database.begin().await?, records, now).await,
            Self::Postgres(database) => ingest(database.begin().await?, records, now).await,
        }
    }
}

async fn ingest<T: IngestTransaction>(
    mut transaction: T,
    records: Vec<Examined>,
    now: Timestamp,
) -> Result<Vec<Verdict>, StoreError> {
    let candidates = assign_ledgers(&mut transaction, records).await?;
    let claims = claims(&candidates);
    let tracked = track(&mut transaction, &claims, referred(&candidates)).await?;
    let (verdicts, changes) = decide(candidates, tracked)?;
    transaction.apply(&changes, nanosecond_of(now)?).await?;
    transaction.finish().await?;
    Ok(verdicts)
}

/// Finds each report's ledger. A UID that is registered under another name is refused as what may not be reported, in the
/// same words as any other tenant's: the answer does not say that the UID exists.
async fn assign_ledgers<T: IngestTransaction>(
    transaction: &mut T,
    records: Vec<Examined>,
) -> Result<Vec<Candidate>, StoreError> {
    let parties: BTreeSet<Party> = records
        .iter()
        .flatten()
        .map(|report| report.party.clone())
        .collect();
    let uids: Vec<_> = parties.iter().map(|party| party.tenant_uid.to_string()).collect();
    let registered: HashMap<_, _> = transaction.registered_names(&uids).await?.into_iter().collect();
    let is_own = |party: &Party| {
        registered
            .get(party.tenant_uid.as_str())
            .is_none_or(|name| name == party.tenant.as_str())
    };
    let own: Vec<_> = parties.iter().filter(|party| is_own(party)).collect();
    let held = if own.is_empty() {
        Vec::new()
    } else {
        transaction.hold_ledgers(&own).await?
    };
    let ledgers: HashMap<_, _> = held
        .into_iter()
        .map(|(uid, tenant, id, statement)| ((uid, tenant), OpenLedger { id, statement }))
        .collect();
    let candidate = |record: Examined| {
        let report = match record {
            Ok(report) => report,
            Err(rejection) => return Candidate::Rejection(rejection),
        };
        let key = (
            report.party.tenant_uid.to_string(),
            report.party.tenant.to_string(),
        );
        match ledgers.get(&key) {
            Some(ledger) => Candidate::Report(*ledger, report),
            None => Candidate::Rejection(Box::new(foreign(*report))),
        }
    };
    Ok(records.into_iter().map(candidate).collect())
}

fn foreign(report: Report) -> Rejection {
    let Report {
        party,
        event: _,
        hash,
        payload,
        provenance,
    } = report;
    Rejection {
        peer: party.tenant.to_string(),
        payload,
        hash,
        reporter: provenance.reporter,
        reason: Reason::PermissionDenied,
        message: "tenant_uid is not one that this certificate belongs to".to_owned(),
    }
}

async fn track<T: IngestTransaction>(
    transaction: &mut T,
    claims: &BTreeMap<Identity, Digest>,
    referred: Vec<Identity>,
) -> Result<TrackedEvents, StoreError> {
    if claims.is_empty() {
        return Ok(HashMap::new());
    }
    let mut tracked = HashMap::with_capacity(claims.len());
    for (sequence, ledger, source, id) in transaction.claim(claims).await? {
        let identity = Identity { ledger, source, id };
        let hash = *claims.get(&identity).ok_or(StoreError::unreadable("event key"))?;
        tracked.insert(
            identity,
            Tracked {
                sequence,
                hash,
                known: None,
            },
        );
    }
    let wanted: HashSet<_> = claims
        .keys()
        .chain(&referred)
        .filter(|identity| !tracked.contains_key(*identity))
        .collect();
    if !wanted.is_empty() {
        let mut wanted: Vec<_> = wanted.into_iter().collect();
        wanted.sort_unstable();
        for row in transaction.load_known(&wanted).await? {
            let (identity, known) = known_of(row)?;
            tracked.insert(identity, known);
        }
    }
    Ok(tracked)
}

fn known_of(row: KnownRow) -> Result<(Identity, Tracked), StoreError> {
    let (sequence, ledger, source, id, hash, standing, time, meter, nanos, dimensions, reversal_of) = row;
    let event = Event {
        source: source.clone(),
        id: id.clone(),
        meter,
        quantity: Exact::from_nanos(nanos.parse().map_err(|_| StoreError::unreadable("quantity"))?),
        time: instant_of(time)?,
        dimensions: serde_json::from_str(&dimensions).map_err(|_| StoreError::unreadable("dimensions"))?,
        reversal_of,
    };
    let hash = Digest::try_from(hash.as_slice()).map_err(|_| StoreError::unreadable("hash"))?;
    let known = Some((event, Standing::from_stored(standing)));
    Ok((
        Identity { ledger, source, id },
        Tracked {
            sequence,
            hash,
            known,
        },
    ))
}

/// An event as its row has it.
pub(super) struct EventRow<'a> {
    pub(super) sequence: Sequence,
    pub(super) ledger: LedgerId,
    pub(super) standing: i64,
    pub(super) source: &'a str,
    pub(super) id: &'a str,
    pub(super) time: i64,
    pub(super) meter: &'a str,
    pub(super) nanos: i128,
    pub(super) dimensions: String,
    pub(super) reversal_of: Option<&'a str>,
}

pub(super) fn event_row(new: &NewEvent) -> Result<EventRow<'_>, StoreError> {
    let NewEvent {
        ledger,
        sequence,
        standing,
        event,
    } = new;
    let Event {
        source,
        id,
        meter,
        quantity,
        time,
        dimensions,
        reversal_of,
    } = event;
    Ok(EventRow {
        sequence: *sequence,
        ledger: *ledger,
        standing: standing.to_stored(),
        source,
        id,
        time: nanosecond_of(*time)?,
        meter,
        nanos: quantity.to_nanos()?,
        dimensions: dimensions_to_json(dimensions.iter()),
        reversal_of: reversal_of.as_deref(),
    })
}

/// What a batch adds to one bucket.
pub(super) struct BucketDelta<'a> {
    pub(super) ledger: LedgerId,
    pub(super) start_second: i64,
    pub(super) statement: i64,
    pub(super) meter: &'a str,
    pub(super) digest: Digest,
    pub(super) dimensions: &'a str,
    pub(super) nanos: i128,
}

/// The batch's additions, in the order of their keys.
pub(super) fn bucket_deltas(changes: &Changes) -> Vec<BucketDelta<'_>> {
    changes
        .buckets
        .iter()
        .map(|((ledger, statement, key), nanos)| BucketDelta {
            ledger: *ledger,
            start_second: key.start_second,
            statement: *statement,
            meter: key.meter.as_str(),
            digest: Digest::of(key.dimensions.as_bytes()),
            dimensions: key.dimensions.as_str(),
            nanos: *nanos,
        })
        .collect()
}

/// An instant as it is stored.
pub(super) fn nanosecond_of(instant: Timestamp) -> Result<i64, StoreError> {
    i64::try_from(instant.as_nanosecond()).map_err(|_| StoreError::unreadable("instant"))
}

/// An instant as it was stored.
pub(super) fn instant_of(nanosecond: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_nanosecond(nanosecond.into()).map_err(|_| StoreError::unreadable("instant"))
}
