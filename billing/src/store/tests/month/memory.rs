//! A database in memory that takes usage as the real ones do, fails where a seed says so, and lets transactions wait for
//! and overtake each other.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

use crate::digest::{Digest, Fingerprint};
use crate::metering::assume::{Doubt, SOMEBODY};
use crate::metering::decide::{Changed, Changes, LedgerId, Marks};
use crate::metering::report::{BucketKey, EventKey, Party};
use crate::store::StoreError;
use crate::store::ingest::{
    Hold, IngestDatabase, IngestTransaction, KeyRow, LedgerRow, Place, nanosecond_of,
};

/// What is summed, by ledger and statement.
pub(super) type Buckets = BTreeMap<(LedgerId, i64, BucketKey), i128>;

/// Of so many steps one fails.
const FAILS: u32 = 60;

pub(super) struct Stored {
    pub(super) ledger: LedgerId,
    pub(super) hash: Fingerprint,
    pub(super) event_time: i64,
    pub(super) marks: Marks,
    pub(super) payload: Vec<u8>,
}

struct Ledger {
    party: Party,
    open_statement: i64,
    shared: u32,
    is_held_alone: bool,
}

/// A statement as it was when it was closed.
pub(super) struct Closed {
    pub(super) ledger: LedgerId,
    pub(super) statement: i64,
    pub(super) buckets: Buckets,
}

pub(super) struct State {
    random: Xoshiro256PlusPlus,
    /// Things go wrong.
    pub(super) is_faulty: bool,
    /// Starts of the server; what an earlier one had in hand is gone.
    pub(super) starts: u64,
    transactions: u64,
    ledgers: Vec<Ledger>,
    pub(super) keys: BTreeMap<EventKey, Stored>,
    locks: BTreeMap<EventKey, u64>,
    pub(super) buckets: Buckets,
    pub(super) rejected: BTreeSet<Digest>,
    pub(super) closed: Vec<Closed>,
    /// Batches in the order of their commits.
    pub(super) commits: Vec<Vec<usize>>,
    pub(super) overtaken: u64,
    pub(super) doubt: Doubt,
    /// Ledgers as they were last seen: id and open statement.
    seen: BTreeMap<(String, String), (LedgerId, i64)>,
}

#[derive(Clone)]
pub(super) struct Memory(Rc<RefCell<State>>);

/// Lets others go on.
pub(super) async fn step_aside() {
    let mut was_polled = false;
    poll_fn(|_| {
        if was_polled {
            return Poll::Ready(());
        }
        was_polled = true;
        Poll::Pending
    })
    .await;
}

impl Memory {
    pub(super) fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(State {
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            is_faulty: true,
            starts: 0,
            transactions: 0,
            ledgers: Vec::new(),
            keys: BTreeMap::new(),
            locks: BTreeMap::new(),
            buckets: BTreeMap::new(),
            rejected: BTreeSet::new(),
            closed: Vec::new(),
            commits: Vec::new(),
            overtaken: 0,
            doubt: Doubt::default(),
            seen: BTreeMap::new(),
        })))
    }

    pub(super) fn with<R>(&self, read: impl FnOnce(&mut State) -> R) -> R {
        read(&mut self.0.borrow_mut())
    }

    /// A number below `limit`.
    pub(super) fn draw(&self, limit: u32) -> u32 {
        self.with(|state| state.random.random_range(0..limit))
    }

    /// One time in `times`, where things go wrong at all.
    pub(super) fn mishap(&self, times: u32) -> bool {
        self.with(|state| state.is_faulty && state.random.random_range(0..times) == 0)
    }

    pub(super) async fn pause(&self) {
        while self.mishap(3) {
            step_aside().await;
        }
    }

    async fn may_fail(&self) -> Result<(), StoreError> {
        self.pause().await;
        if self.mishap(FAILS) {
            return Err(StoreError::Database(sqlx::Error::WorkerCrashed));
        }
        Ok(())
    }

    /// The ledger of a party, made if it is missing.
    pub(super) fn ledger(&self, party: &Party) -> LedgerId {
        self.with(|state| {
            let found = state.ledgers.iter().position(|ledger| ledger.party == *party);
            let position = found.unwrap_or_else(|| {
                state.ledgers.push(Ledger {
                    party: party.clone(),
                    open_statement: 1,
                    shared: 0,
                    is_held_alone: false,
                });
                state.ledgers.len() - 1
            });
            LedgerId::try_from(position).unwrap()
        })
    }

    async fn hold(&self, ledger: LedgerId, hold: Hold) -> i64 {
        loop {
            let held = self.with(|state| {
                let ledger = &mut state.ledgers[usize::try_from(ledger).unwrap()];
                if ledger.is_held_alone || (hold == Hold::Alone && ledger.shared > 0) {
                    return None;
                }
                match hold {
                    Hold::Shared => ledger.shared += 1,
                    Hold::Alone => ledger.is_held_alone = true,
                }
                Some(ledger.open_statement)
            });
            if let Some(statement) = held {
                return statement;
            }
            step_aside().await;
        }
    }

    fn release(&self, ledger: LedgerId, hold: Hold) {
        self.with(|state| {
            let ledger = &mut state.ledgers[usize::try_from(ledger).unwrap()];
            match hold {
                Hold::Shared => ledger.shared -= 1,
                Hold::Alone => ledger.is_held_alone = false,
            }
        });
    }

    /// As an issue does: waits for those who hold the ledger, notes what landed up to now, opens the next statement.
    pub(super) async fn close(&self, ledger: LedgerId) {
        let statement = self.hold(ledger, Hold::Alone).await;
        self.with(|state| {
            let landed = state
                .buckets
                .iter()
                .filter(|((of, in_statement, _), _)| *of == ledger && *in_statement <= statement);
            let buckets = landed.map(|(key, nanos)| (key.clone(), *nanos)).collect();
            state.closed.push(Closed {
                ledger,
                statement,
                buckets,
            });
            state.ledgers[usize::try_from(ledger).unwrap()].open_statement += 1;
        });
        self.release(ledger, Hold::Alone);
    }
}

/// The database as one batch sees it.
pub(super) struct ForBatch {
    pub(super) memory: Memory,
    pub(super) messages: Vec<usize>,
    /// For batches that suppose what is known.
    pub(super) doubt: Option<Doubt>,
}

impl IngestDatabase for ForBatch {
    type Transaction = Running;

    fn doubt(&self, _records: usize, _at_once: bool) -> Option<&Doubt> {
        self.doubt.as_ref()
    }

    /// Half of the batches that suppose do so by one statement.
    fn last_seen(&self, parties: &BTreeSet<&Party>, records: usize) -> Option<Vec<LedgerRow>> {
        let of = |party: &&Party, state: &State| {
            let (uid, tenant) = (party.tenant_uid.to_string(), party.tenant.to_string());
            let (ledger, statement) = *state.seen.get(&(uid.clone(), tenant.clone()))?;
            Some((uid, tenant, ledger, statement))
        };
        let is_tried = records.is_multiple_of(2);
        is_tried
            .then(|| {
                self.memory
                    .with(|state| parties.iter().map(|party| of(party, state)).collect())
            })
            .flatten()
    }

    fn saw(&self, ledgers: &[LedgerRow]) {
        self.memory.with(|state| {
            for (uid, tenant, ledger, statement) in ledgers {
                state
                    .seen
                    .insert((uid.clone(), tenant.clone()), (*ledger, *statement));
            }
        });
    }

    async fn take_at_once(
        &self,
        changes: &Changes<'_>,
        ledgers: &[LedgerRow],
        now: i64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin_ingest().await?;
        let mut ledgers: Vec<_> = ledgers
            .iter()
            .map(|(_, _, id, statement)| (*id, *statement))
            .collect();
        ledgers.sort_unstable();
        for (ledger, statement) in ledgers {
            let open = self.memory.hold(ledger, Hold::Shared).await;
            transaction.held.push((ledger, Hold::Shared));
            if open != statement {
                self.memory.with(|state| state.overtaken += 1);
                return Err(StoreError::Overtaken);
            }
        }
        transaction.apply(changes, now).await?;
        transaction.finish().await
    }

    async fn begin_ingest(&self) -> Result<Running, StoreError> {
        self.memory.may_fail().await?;
        let number = self.memory.with(|state| {
            state.transactions += 1;
            state.transactions
        });
        Ok(Running {
            memory: self.memory.clone(),
            messages: self.messages.clone(),
            number,
            held: Vec::new(),
            locks: Vec::new(),
            staged: Staged::default(),
        })
    }
}

#[derive(Default)]
struct Staged {
    events: Vec<(EventKey, Stored)>,
    changed: Vec<(EventKey, Marks)>,
    buckets: Vec<((LedgerId, i64, BucketKey), i128)>,
    rejected: Vec<Digest>,
}

/// A transaction; dropped, it leaves nothing.
pub(super) struct Running {
    memory: Memory,
    messages: Vec<usize>,
    number: u64,
    held: Vec<(LedgerId, Hold)>,
    locks: Vec<EventKey>,
    staged: Staged,
}

impl Drop for Running {
    fn drop(&mut self) {
        for (ledger, hold) in self.held.drain(..) {
            self.memory.release(ledger, hold);
        }
        self.memory.with(|state| {
            for key in &self.locks {
                state.locks.remove(key);
            }
        });
    }
}

impl Running {
    /// As a unique key and a row's lock do: waits for another transaction that has it, then looks again. A row that another
    /// is inserting is not there yet for who would change it: nobody waits for that.
    async fn lock(
        &mut self,
        key: EventKey,
        expected: Option<(Fingerprint, Marks)>,
    ) -> Result<(), StoreError> {
        loop {
            let others = self.memory.with(|state| {
                let is_others = state.locks.get(&key).is_some_and(|number| *number != self.number);
                is_others && (expected.is_none() || state.keys.contains_key(&key))
            });
            if !others {
                break;
            }
            step_aside().await;
        }
        self.memory.with(|state| {
            let stored = state.keys.get(&key).map(|stored| {
                let is_anybody = expected.is_some_and(|(_, marks)| marks.worker == SOMEBODY);
                let worker = if is_anybody { SOMEBODY } else { stored.marks.worker };
                (
                    stored.hash,
                    Marks {
                        worker,
                        ..stored.marks
                    },
                )
            });
            if stored != expected {
                let is_alone = self.held.iter().all(|(_, hold)| *hold == Hold::Alone);
                assert!(!is_alone, "nobody overtakes who is alone in his ledgers");
                state.overtaken += 1;
                return Err(StoreError::Overtaken);
            }
            state.locks.insert(key, self.number);
            Ok(())
        })?;
        self.locks.push(key);
        Ok(())
    }
}

impl IngestTransaction for Running {
    async fn hold_ledgers(&mut self, parties: &[&Party], hold: Hold) -> Result<Vec<LedgerRow>, StoreError> {
        self.memory.may_fail().await?;
        let mut ledgers: Vec<_> = parties
            .iter()
            .map(|party| (self.memory.ledger(party), *party))
            .collect();
        ledgers.sort_unstable();
        let mut rows = Vec::new();
        for (ledger, party) in ledgers {
            let statement = self.memory.hold(ledger, hold).await;
            self.held.push((ledger, hold));
            rows.push((
                party.tenant_uid.to_string(),
                party.tenant.to_string(),
                ledger,
                statement,
            ));
        }
        Ok(rows)
    }

    async fn find(&mut self, keys: &[EventKey]) -> Result<Vec<KeyRow>, StoreError> {
        self.memory.may_fail().await?;
        Ok(self.memory.with(|state| {
            let known = keys.iter().filter_map(|key| Some((key, state.keys.get(key)?)));
            known
                .map(|(key, stored)| KeyRow {
                    key: *key,
                    hash: stored.hash,
                    event_time: stored.event_time,
                    marks: stored.marks,
                })
                .collect()
        }))
    }

    async fn payloads(&mut self, places: &[Place]) -> Result<Vec<(EventKey, Vec<u8>)>, StoreError> {
        self.memory.may_fail().await?;
        Ok(self.memory.with(|state| {
            let at = |place: &Place| {
                let stored = state.keys.get(&place.key)?;
                let is_there = (stored.ledger, stored.event_time) == (place.ledger, place.event_time);
                is_there.then(|| (place.key, stored.payload.clone()))
            };
            places.iter().filter_map(at).collect()
        }))
    }

    async fn apply(&mut self, changes: &Changes<'_>, _: i64) -> Result<(), StoreError> {
        self.memory.may_fail().await?;
        for new in &changes.events {
            self.lock(new.report.key, None).await?;
            let stored = Stored {
                ledger: new.ledger,
                hash: new.report.hash.fingerprint(),
                event_time: nanosecond_of(new.report.event.time)?,
                marks: new.marks,
                payload: new.report.payload.clone(),
            };
            self.staged.events.push((new.report.key, stored));
        }
        for changed in &changes.changed {
            self.lock(changed.key, Some((changed.hash, changed.before)))
                .await?;
            self.staged.changed.push((changed.key, changed.after));
        }
        for replaced in &changes.replaced {
            let Changed {
                key,
                hash,
                before,
                after,
            } = replaced.changed;
            self.lock(key, Some((hash, before))).await?;
            let stored = Stored {
                ledger: replaced.ledger,
                hash: replaced.report.hash.fingerprint(),
                event_time: nanosecond_of(replaced.report.event.time)?,
                marks: after,
                payload: replaced.report.payload.clone(),
            };
            self.staged.events.push((key, stored));
        }
        let buckets = changes.buckets.iter().map(|(key, nanos)| (key.clone(), *nanos));
        self.staged.buckets.extend(buckets);
        self.staged
            .rejected
            .extend(changes.rejections.keys().map(|(_, hash, _)| *hash));
        self.memory.may_fail().await
    }

    async fn finish(mut self) -> Result<(), StoreError> {
        self.memory.may_fail().await?;
        let Staged {
            events,
            changed,
            buckets,
            rejected,
        } = std::mem::take(&mut self.staged);
        let messages = std::mem::take(&mut self.messages);
        self.memory.with(|state| {
            state.keys.extend(events);
            for (key, marks) in changed {
                let stored = &mut state.keys.get_mut(&key).unwrap().marks;
                let worker = if marks.worker == SOMEBODY {
                    stored.worker
                } else {
                    marks.worker
                };
                *stored = Marks { worker, ..marks };
            }
            for (key, nanos) in buckets {
                *state.buckets.entry(key).or_insert(0) += nanos;
            }
            state.rejected.extend(rejected);
            state.commits.push(messages);
        });
        // Here the connection may be cut: it is durable, and nobody hears it.
        self.memory.may_fail().await
    }
}
