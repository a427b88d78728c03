//! One batch, one transaction: hold the ledgers, look up what is known, decide, write, commit.
//!
//! Between the look-up and the write another transaction may take one of the identities, or change how one stands; the
//! write says so and is done again, alone in its ledgers. A large batch supposes what is known instead of looking it up, while
//! that goes well ([`assume`](crate::metering::assume)): the write says where it is not so.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use springtide_proto::error::Reason;
use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::reporters::ReporterIds;
use super::{Store, StoreError};
use crate::at_length::at_length;
use crate::digest::{Digest, Fingerprint};
use crate::metering::assume::{Assumption, Doubt};
use crate::metering::decide::{
    Candidate, Changes, Known, KnownEvents, LedgerId, Marks, OpenLedger, decide, keys, unclear,
};
use crate::metering::examine::stored_event;
use crate::metering::meters::{NamedByPlans, judged, parties_to_ask};
use crate::metering::report::{EventKey, Examined, Party, Report, Verdict};
use crate::rating::plan::RatePlan;

/// Tries of a transaction that others overtake; all but the first are alone in their ledgers.
const ATTEMPTS: u32 = 4;

/// (tenant UID, tenant, ledger, open statement).
pub(super) type LedgerRow = (String, String, i64, i64);

/// What is kept of an event beside its key.
pub(super) struct KeyRow {
    pub(super) key: EventKey,
    pub(super) hash: Fingerprint,
    pub(super) event_time: i64,
    pub(super) marks: Marks,
}

/// Where an event's bytes are.
pub(super) struct Place {
    pub(super) key: EventKey,
    pub(super) ledger: LedgerId,
    pub(super) event_time: i64,
}

/// How a transaction holds its ledgers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Others may take usage at the same time.
    Shared,
    /// Nobody else may.
    Alone,
}

/// What ingest asks of a transaction of either database.
pub(super) trait IngestTransaction {
    /// The parties' ledgers, made where missing, whose open statements cannot be closed until the transaction ends. A party
    /// whose UID is registered under another name has none.
    async fn hold_ledgers(&mut self, parties: &[&Party], hold: Hold) -> Result<Vec<LedgerRow>, StoreError>;
    /// Those of the keys that are known. The keys come sorted.
    async fn find(&mut self, keys: &[EventKey]) -> Result<Vec<KeyRow>, StoreError>;
    /// The bytes of events, of those that were not dropped for their age.
    async fn payloads(&mut self, places: &[Place]) -> Result<Vec<(EventKey, Vec<u8>)>, StoreError>;
    /// Writes what was decided; [`StoreError::Overtaken`] if that is not what is there any more.
    async fn apply(&mut self, changes: &Changes<'_>, now: i64) -> Result<(), StoreError>;
    /// Makes it durable.
    async fn finish(self) -> Result<(), StoreError>;
}

/// A database that usage goes into.
pub(super) trait IngestDatabase {
    type Transaction: IngestTransaction;
    /// Keeps in mind where supposing what is known did not go well; `None` if looking costs nothing worth sparing.
    /// `at_once`: it is about [`Self::take_at_once`].
    fn doubt(&self, records: usize, at_once: bool) -> Option<&Doubt>;
    async fn begin_ingest(&self) -> Result<Self::Transaction, StoreError>;
    /// The ledgers of the parties of so many records as they were last seen, if all of them were, and
    /// [`Self::take_at_once`] is for so many.
    fn last_seen(&self, parties: &BTreeSet<&Party>, records: usize) -> Option<Vec<LedgerRow>>;
    /// Keeps in mind what was seen.
    fn saw(&self, ledgers: &[LedgerRow]);
    /// Writes changes that are only new events, durably and all or none, if the ledgers are still as they were last seen;
    /// [`StoreError::Overtaken`] if they are not, or if an event is not new.
    async fn take_at_once(
        &self,
        changes: &Changes<'_>,
        ledgers: &[LedgerRow],
        now: i64,
    ) -> Result<(), StoreError>;
}

/// The migrations of a database: version, description, text.
pub(super) fn migrations(texts: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = texts.iter().map(|(version, description, text)| {
        Migration::new(
            *version,
            Cow::Borrowed(*description),
            MigrationType::Simple,
            SqlStr::from_static(text),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
}

/// One call of [`Store::ingest`].
pub(super) struct Batch<'a> {
    pub(super) records: &'a [Examined],
    pub(super) reporters: &'a ReporterIds,
    pub(super) now: Timestamp,
    pub(super) is_kept: bool,
}

impl Store {
    /// Takes examined records; when it returns, what is accepted is durable. A verdict for each, in order.
    pub async fn ingest(&self, records: &[Examined], now: Timestamp) -> Result<Vec<Verdict>, StoreError> {
        self.take(records, now, true).await
    }

    /// What [`Self::ingest`] would say, without doing it.
    pub async fn rehearse(&self, records: &[Examined], now: Timestamp) -> Result<Vec<Verdict>, StoreError> {
        self.take(records, now, false).await
    }

    async fn take(
        &self,
        records: &[Examined],
        now: Timestamp,
        is_kept: bool,
    ) -> Result<Vec<Verdict>, StoreError> {
        let named = self.named_by_plans(records).await?;
        let records = judged(records, &named);
        let reporters = self.reporter_ids(records.iter().flatten()).await?;
        let batch = Batch {
            records: &records,
            reporters: &reporters,
            now,
            is_kept,
        };
        match self {
            Self::Sqlite(database) => take(database, &batch).await,
            Self::Postgres(database) => take(database, &batch).await,
        }
    }
}

impl Store {
    /// The meters that the plans name of those who report others than built-in ones: hardly anybody. A plan that is not
    /// readable names none.
    async fn named_by_plans(&self, records: &[Examined]) -> Result<NamedByPlans, StoreError> {
        let mut named = NamedByPlans::new();
        for party in parties_to_ask(records) {
            let versions = self.plans_of_party(party).await?;
            let plans = versions
                .iter()
                .filter_map(|version| RatePlan::parse(&version.spec).ok());
            let meters = plans.flat_map(|plan| plan.charges).map(|charge| charge.meter);
            named.insert(party.clone(), meters.collect());
        }
        Ok(named)
    }
}

/// Takes a batch; when it returns, what is accepted is durable.
pub(super) async fn take<D: IngestDatabase>(
    database: &D,
    batch: &Batch<'_>,
) -> Result<Vec<Verdict>, StoreError> {
    let ledgers = ledgers_at_once(database, batch);
    // Only a write finds out whether it is so.
    if batch.is_kept
        && let Some(doubt) = database.doubt(batch.records.len(), ledgers.is_some())
        && let Some(subject) = doubt.assumption(batch.records)
    {
        let outcome = match &ledgers {
            Some(ledgers) => attempt_at_once(database, batch, ledgers).await,
            None => attempt(database, batch, Hold::Shared, Some(subject.1)).await,
        };
        let is_otherwise = outcome.as_ref().is_err_and(StoreError::is_overtaken);
        doubt.note(&subject, !is_otherwise);
        if !is_otherwise {
            return outcome;
        }
    }
    let mut hold = Hold::Shared;
    for _ in 1..ATTEMPTS {
        match attempt(database, batch, hold, None).await {
            Err(error) if error.is_overtaken() => hold = Hold::Alone,
            outcome => return outcome,
        }
    }
    attempt(database, batch, hold, None).await
}

/// If a batch may be taken by one statement, the ledgers that it supposes.
fn ledgers_at_once<D: IngestDatabase>(database: &D, batch: &Batch<'_>) -> Option<Vec<LedgerRow>> {
    let Batch { records, .. } = batch;
    let is_new = Assumption::of(records) == Some(Assumption::New) && records.iter().all(Result::is_ok);
    is_new
        .then(|| database.last_seen(&parties_of(batch), records.len()))
        .flatten()
}

async fn attempt_at_once<D: IngestDatabase>(
    database: &D,
    batch: &Batch<'_>,
    ledgers: &[LedgerRow],
) -> Result<Vec<Verdict>, StoreError> {
    let candidates = candidates_of(batch, ledgers)?;
    let (verdicts, changes) = decide(&candidates, KnownEvents::new())?;
    if !changes.is_only_new() {
        return attempt(database, batch, Hold::Shared, None).await;
    }
    let now = nanosecond_of(batch.now)?;
    database.take_at_once(&changes, ledgers, now).await?;
    Ok(verdicts)
}

async fn attempt<D: IngestDatabase>(
    database: &D,
    batch: &Batch<'_>,
    hold: Hold,
    assumed: Option<Assumption>,
) -> Result<Vec<Verdict>, StoreError> {
    let mut transaction = database.begin_ingest().await?;
    let parties: Vec<_> = parties_of(batch).into_iter().collect();
    let ledgers = if parties.is_empty() {
        Vec::new()
    } else {
        transaction.hold_ledgers(&parties, hold).await?
    };
    let candidates = candidates_of(batch, &ledgers)?;
    let known = match assumed {
        Some(assumption) => suppose(assumption, batch, &candidates)?,
        None => look_up(&mut transaction, &candidates).await?,
    };
    let (verdicts, changes) = at_length(|| decide(&candidates, known))?;
    if batch.is_kept {
        transaction.apply(&changes, nanosecond_of(batch.now)?).await?;
        transaction.finish().await?;
        database.saw(&ledgers);
    }
    Ok(verdicts)
}

/// What is known if the assumption holds; where the batch itself has other bytes under one identity, it does not.
fn suppose(
    assumption: Assumption,
    batch: &Batch<'_>,
    candidates: &[Candidate<'_>],
) -> Result<KnownEvents, StoreError> {
    let known = at_length(|| assumption.known(batch.records));
    if unclear(candidates, &known).is_empty() {
        Ok(known)
    } else {
        Err(StoreError::Overtaken)
    }
}

fn parties_of<'a>(batch: &Batch<'a>) -> BTreeSet<&'a Party> {
    let reports = batch.records.iter().flatten();
    reports.map(|report| &report.party).collect()
}

/// Finds each report's ledger. A UID that is registered under another name is refused as what may not be reported, in the
/// same words as any other tenant's: the answer does not say that the UID exists.
fn candidates_of<'a>(batch: &Batch<'a>, ledgers: &[LedgerRow]) -> Result<Vec<Candidate<'a>>, StoreError> {
    let ledgers: HashMap<_, _> = ledgers
        .iter()
        .map(|(uid, tenant, id, statement)| {
            let ledger = OpenLedger {
                id: *id,
                statement: *statement,
            };
            ((uid.as_str(), tenant.as_str()), ledger)
        })
        .collect();
    let candidate = |record: &'a Examined| {
        let report = match record {
            Ok(report) => report,
            Err(rejection) => return Ok(Candidate::Rejection(Cow::Borrowed(rejection.as_ref()))),
        };
        let key = (report.party.tenant_uid.as_str(), report.party.tenant.as_str());
        Ok(match ledgers.get(&key) {
            Some(ledger) => Candidate::Report(*ledger, batch.reporters.of(&report.provenance)?, report),
            None => Candidate::Rejection(Cow::Owned(report.rejected(
                Reason::PermissionDenied,
                "tenant_uid is not one that this certificate belongs to".to_owned(),
            ))),
        })
    };
    batch.records.iter().map(candidate).collect()
}

async fn look_up<T: IngestTransaction>(
    transaction: &mut T,
    candidates: &[Candidate<'_>],
) -> Result<KnownEvents, StoreError> {
    let keys = keys(candidates);
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = transaction.find(&keys).await?;
    let mut times = HashMap::with_capacity(rows.len());
    let mut known = HashMap::with_capacity(rows.len());
    for KeyRow {
        key,
        hash,
        event_time,
        marks,
    } in rows
    {
        times.insert(key, event_time);
        let event = None;
        known.insert(key, Known { hash, marks, event });
    }
    let places: Vec<_> = unclear(candidates, &known)
        .into_iter()
        .filter_map(|(key, ledger)| {
            let event_time = *times.get(&key)?;
            Some(Place {
                key,
                ledger,
                event_time,
            })
        })
        .collect();
    if !places.is_empty() {
        let payloads = transaction.payloads(&places).await?;
        if payloads.len() < places.len() {
            refuse_moved(transaction, &places, &known).await?;
        }
        for (key, payload) in payloads {
            let (party, event) = stored_event(&payload).map_err(|_| StoreError::unreadable("event"))?;
            if !event.is_erased() && party.event_key(&event.source, &event.id) != key {
                return Err(StoreError::unreadable("identity of an event"));
            }
            if let Some(known) = known.get_mut(&key) {
                known.event = Some(event);
            }
        }
        refuse_collisions(candidates, &known)?;
    }
    Ok(known)
}

/// What is not where its key said is gone for its age, or another took its place in between: then its key says so by now.
async fn refuse_moved<T: IngestTransaction>(
    transaction: &mut T,
    places: &[Place],
    known: &KnownEvents,
) -> Result<(), StoreError> {
    let keys: Vec<_> = places.iter().map(|place| place.key).collect();
    let was = |row: &KeyRow| known.get(&row.key).is_some_and(|known| known.hash == row.hash);
    if transaction.find(&keys).await?.iter().all(was) {
        Ok(())
    } else {
        Err(StoreError::Overtaken)
    }
}

/// Two identities of one fingerprint would be counted as one: rather nothing of the batch is taken.
fn refuse_collisions(candidates: &[Candidate<'_>], known: &KnownEvents) -> Result<(), StoreError> {
    let collides = |report: &Report| {
        let stored = known.get(&report.key).and_then(|known| known.event.as_ref());
        stored.is_some_and(|event| {
            !event.is_erased() && (event.id != report.event.id || event.source != report.event.source)
        })
    };
    for candidate in candidates {
        if let Candidate::Report(_, _, report) = candidate
            && collides(report)
        {
            return Err(StoreError::unreadable(
                "identity, of which another has the fingerprint,",
            ));
        }
    }
    Ok(())
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
pub(super) fn bucket_deltas<'a>(changes: &'a Changes<'_>) -> Vec<BucketDelta<'a>> {
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
