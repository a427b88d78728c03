//! One tenant's two witnesses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use springtide_billing::metering::examine::{Reporter, examine};
use springtide_billing::metering::report::Verdict;
use springtide_billing::store::Store;
use springtide_proto::event::{Interaction, InteractionKind};
use springtide_proto::ids::{ConversationId, PoolId, TenantId, TenantUid, TurnId};
use springtide_proto::metering::record_result::Status;
use springtide_proto::metering::{Delivery, Record, RecordResult, ReportRequest, Witness};
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_runtime::identity::TenantRole;
use tokio::time::Instant;

use super::figures::Phase;
use super::program::Clients;
use crate::chaos::Waits;

/// Turns of a conversation.
const TURNS: u64 = 8;

/// How reports go in.
pub(super) enum Door {
    Program(Box<Clients>),
    Store(Store),
}

/// What was acknowledged.
#[derive(Default)]
pub(super) struct Tally {
    accepted: u64,
    duplicates: u64,
    waits: Vec<i64>,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.waits.extend(other.waits);
    }

    pub(super) fn phase(self, time: Duration) -> Phase {
        let (seconds, reports) = (time.as_secs_f64(), self.accepted + self.duplicates);
        Phase {
            seconds,
            reports,
            accepted: self.accepted,
            duplicates: self.duplicates,
            reports_per_s: reports as f64 / seconds,
            batches: self.waits.len() as u64,
            batch_ms: Waits::of(self.waits),
        }
    }
}

pub(super) struct Lane {
    tenant: String,
    name: String,
    batch: usize,
    door: Door,
}

impl Lane {
    pub(super) fn new(tenant: &str, name: &str, batch: usize, door: Door) -> Self {
        Self {
            tenant: tenant.to_owned(),
            name: format!("{name}-{}", random()),
            batch,
            door,
        }
    }

    pub(super) async fn run(self, over: Arc<AtomicBool>, in_turn: bool) -> anyhow::Result<Tally> {
        let mut tally = Tally::default();
        let mut before: Option<u64> = None;
        let mut number = 0;
        loop {
            let is_over = over.load(Ordering::Relaxed);
            let next = (!is_over).then_some(number);
            number += 1;
            match (next, before) {
                (None, None) => return Ok(tally),
                (first, second) if in_turn => {
                    for (batch, witness) in [(first, Witness::Worker), (second, Witness::Gateway)] {
                        tally.add(self.send(batch, witness).await?);
                    }
                }
                (first, second) => {
                    let (one, other) = tokio::try_join!(
                        self.send(first, Witness::Worker),
                        self.send(second, Witness::Gateway)
                    )?;
                    tally.add(one);
                    tally.add(other);
                }
            }
            before = next;
        }
    }

    async fn send(&self, batch: Option<u64>, witness: Witness) -> anyhow::Result<Tally> {
        let Some(batch) = batch else {
            return Ok(Tally::default());
        };
        let size = self.batch as u64;
        let records: Vec<_> = (batch * size..(batch + 1) * size)
            .map(|number| record(&self.tenant, &self.name, number, witness))
            .collect::<anyhow::Result<_>>()?;
        let begun = Instant::now();
        let (accepted, duplicates) = match &self.door {
            Door::Program(clients) => {
                let mut client = clients.of(witness).clone();
                let answer = client.report(ReportRequest { records }).await?.into_inner();
                let count = |status| {
                    let same = |result: &&RecordResult| result.status() == status;
                    answer.results.iter().filter(same).count()
                };
                (count(Status::Accepted), count(Status::Duplicate))
            }
            Door::Store(store) => self.put_into_store(store, records, witness).await?,
        };
        let wait = begun.elapsed().as_micros();
        let (first, second) = if witness == Witness::Worker {
            (self.batch, 0)
        } else {
            (0, self.batch)
        };
        anyhow::ensure!(
            (accepted, duplicates) == (first, second),
            "{accepted} reports were the first of their event and {duplicates} the second, of a batch by {witness:?}"
        );
        Ok(Tally {
            accepted: accepted as u64,
            duplicates: duplicates as u64,
            waits: vec![i64::try_from(wait)?],
        })
    }

    async fn put_into_store(
        &self,
        store: &Store,
        records: Vec<Record>,
        witness: Witness,
    ) -> anyhow::Result<(usize, usize)> {
        let peer = Reporter {
            tenant: TenantId::parse(self.tenant.as_str())?,
            role: Some(if witness == Witness::Worker {
                TenantRole::Worker
            } else {
                TenantRole::Gateway
            }),
        };
        let now = SystemClock.now();
        let examined: Vec<_> = records
            .into_iter()
            .map(|record| examine(record, &peer, now))
            .collect();
        let verdicts = store.ingest(&examined, now).await?;
        let count = |wanted: &Verdict| verdicts.iter().filter(|verdict| *verdict == wanted).count();
        Ok((count(&Verdict::Accepted), count(&Verdict::Duplicate)))
    }
}

/// Two runs on one database have no event in common.
pub(super) fn random() -> String {
    springtide_runtime::clock::new_boot_id()
}

/// A report of the turn of that number: both witnesses' have the same bytes.
pub(super) fn record(tenant: &str, name: &str, number: u64, witness: Witness) -> anyhow::Result<Record> {
    let interaction = Interaction {
        tenant: TenantId::parse(tenant)?,
        tenant_uid: TenantUid::parse(format!("uid-{tenant}"))?,
        pool: PoolId::parse("web")?,
        conversation: ConversationId::parse(format!("{name}-{}", number / TURNS))?,
        turn: TurnId::parse(format!("t{}", number % TURNS))?,
        channel: "web".to_owned(),
        // The same for both witnesses: from a fixed instant on, a turn each millisecond.
        arrived_at: jiff::Timestamp::from_millisecond(1_763_000_000_000 + i64::try_from(number).unwrap_or(0))
            .unwrap_or_default(),
        kind: InteractionKind::Answer,
        answer_id: Some(format!("entry-{}", number % 50)),
    };
    Ok(Record {
        usage_event: interaction.encode().into(),
        witness: witness.into(),
        delivery: if witness == Witness::Gateway {
            Delivery::Delivered
        } else {
            Delivery::Unspecified
        }
        .into(),
        reporter: format!("{tenant}-{}", witness.as_str_name().to_lowercase()),
        boot_id: name.to_owned(),
    })
}
