use std::collections::HashSet;

use proptest::prelude::*;
use springtide_proto::ids::{TenantId, TenantUid};
use springtide_proto::metering::Delivery;

use super::*;
use crate::digest::Digest;
use crate::metering::report::{BucketKey, Party, Provenance};
use crate::rating::number::Exact;

const LEDGER: OpenLedger = OpenLedger { id: 1, statement: 7 };

/// A store in memory that does what the databases do, one batch after the other.
#[derive(Default)]
struct Memory {
    keys: HashMap<EventKey, (Fingerprint, Marks)>,
    events: HashMap<EventKey, Event>,
    further: BTreeMap<FurtherReport, i16>,
    buckets: BTreeMap<(LedgerId, i64, BucketKey), i128>,
}

impl Memory {
    fn ingest(&mut self, reports: &[Report]) -> Vec<Verdict> {
        let candidates: Vec<_> = reports
            .iter()
            .map(|report| Candidate::Report(LEDGER, reporter_id(report), report))
            .collect();
        let keys = keys(&candidates);
        assert!(keys.is_sorted());
        let mut known: KnownEvents = keys
            .into_iter()
            .filter_map(|key| {
                let (hash, marks) = *self.keys.get(&key)?;
                let event = None;
                Some((key, Known { hash, marks, event }))
            })
            .collect();
        for (key, ledger) in unclear(&candidates, &known) {
            assert_eq!(ledger, LEDGER.id);
            known.get_mut(&key).unwrap().event = self.events.get(&key).cloned();
        }
        let (verdicts, changes) = decide(&candidates, known).unwrap();
        for NewEvent { marks, report, .. } in changes.events {
            let stored = (report.hash.fingerprint(), marks);
            assert!(self.keys.insert(report.key, stored).is_none());
            self.events.insert(report.key, report.event.clone());
        }
        for Changed {
            key,
            hash,
            before,
            after,
        } in changes.changed
        {
            let (bytes, marks) = self.keys.get_mut(&key).unwrap();
            assert_eq!(*bytes, hash);
            assert_eq!(std::mem::replace(marks, after), before);
        }
        for Replaced {
            changed,
            was_at,
            report,
            ..
        } in changes.replaced
        {
            let now = (report.hash.fingerprint(), changed.after);
            let was = self.keys.insert(changed.key, now).unwrap();
            assert_eq!(was, (changed.hash, changed.before));
            let event = self.events.insert(changed.key, report.event.clone()).unwrap();
            assert_eq!(event.time, was_at);
        }
        for (further, delivery) in changes.further {
            let says = self.further.entry(further).or_insert(delivery);
            *says = delivery.max(*says);
        }
        for (key, nanos) in changes.buckets {
            *self.buckets.entry(key).or_insert(0) += nanos;
        }
        verdicts
    }

    fn marks(&self, id: &str) -> Marks {
        self.keys[&worker(id).key].1
    }

    fn total(&self) -> i128 {
        self.buckets.values().sum::<i128>() / 1_000_000_000
    }
}

fn report(source: &str, id: &str, bytes: &str, witness: Witness, delivery: Delivery) -> Report {
    let party = Party {
        tenant_uid: TenantUid::parse("u").unwrap(),
        tenant: TenantId::parse("acme").unwrap(),
    };
    Report {
        key: party.event_key(source, id),
        party,
        event: Event {
            source: source.into(),
            id: id.into(),
            meter: "interactions".into(),
            quantity: Exact::new(1, 0),
            time: "2026-11-11T00:00:00Z".parse().unwrap(),
            dimensions: BTreeMap::new(),
            reversal_of: None,
        },
        hash: Digest::of(bytes.as_bytes()),
        payload: bytes.as_bytes().to_vec(),
        provenance: Provenance {
            witness,
            delivery,
            reporter: "pod".into(),
            boot_id: "boot".into(),
        },
    }
}

/// "pod" is 1, "pod-2" is 2.
fn reporter_id(report: &Report) -> ReporterId {
    let name = &report.provenance.reporter;
    name.rsplit_once('-')
        .map_or(1, |(_, number)| number.parse().unwrap())
}

fn worker(id: &str) -> Report {
    report("interaction", id, id, Witness::Worker, Delivery::Unspecified)
}

fn gateway(id: &str, delivery: Delivery) -> Report {
    report("interaction", id, id, Witness::Gateway, delivery)
}

fn reversal(id: &str, of: &str) -> Report {
    let mut report = worker(id);
    report.event.reversal_of = Some(of.into());
    report
}

/// That a conversation ended, by a message of that second.
fn ended(second: i64, outcome: &str, witness: Witness) -> Report {
    let bytes = format!("{second} {outcome}");
    let mut report = report("conversation", "c", &bytes, witness, Delivery::Unspecified);
    report.event.meter = "conversations".into();
    report.event.time = jiff::Timestamp::from_second(second).unwrap();
    report.event.dimensions = BTreeMap::from([("outcome".to_owned(), outcome.to_owned())]);
    report
}

impl Memory {
    /// What is counted, by the start of its quarter of an hour.
    fn counted(&self) -> Vec<(i64, &str)> {
        let counted = self.buckets.iter().filter(|(_, nanos)| **nanos != 0);
        counted
            .map(|((.., key), nanos)| {
                assert_eq!(*nanos, 1_000_000_000);
                (key.start_second, key.dimensions.as_str())
            })
            .collect()
    }
}

const RESOLVED: &str = r#"{"outcome":"resolved"}"#;
const ABANDONED: &str = r#"{"outcome":"abandoned"}"#;

#[test]
fn a_conversation_that_ended_again_later_counts_as_it_ended_then_and_what_is_older_changes_nothing() {
    let mut memory = Memory::default();
    let first = ended(1_000, "resolved", Witness::Worker);
    let later = ended(5_000, "abandoned", Witness::Gateway);
    assert_eq!(memory.ingest(std::slice::from_ref(&first)), [Verdict::Accepted]);
    assert_eq!(memory.counted(), [(900, RESOLVED)]);
    assert_eq!(
        memory.ingest(&[first.clone(), later.clone()]),
        [Verdict::Duplicate, Verdict::Variant]
    );
    assert_eq!(memory.counted(), [(4_500, ABANDONED)]);
    assert_eq!(
        memory.ingest(&[first.clone(), later.clone()]),
        [Verdict::Variant, Verdict::Duplicate]
    );
    assert_eq!(memory.counted(), [(4_500, ABANDONED)]);
    let witnesses = memory.keys[&first.key].1.standing.witnesses();
    assert_eq!(witnesses, ["gateway", "worker"]);
}

#[test]
fn an_end_that_was_dropped_for_its_age_or_erased_stays_as_it_was_counted() {
    let later = ended(5_000, "abandoned", Witness::Gateway);
    let first = ended(1_000, "resolved", Witness::Worker);
    let mut dropped = Memory::default();
    dropped.ingest(std::slice::from_ref(&first));
    dropped.events.clear();
    assert_eq!(
        dropped.ingest(&[first.clone(), later.clone()]),
        [Verdict::Duplicate, Verdict::Variant]
    );
    let mut erased = Memory::default();
    erased.ingest(std::slice::from_ref(&first));
    erased.events.get_mut(&first.key).unwrap().id = crate::metering::erase::ERASED.into();
    assert_eq!(erased.ingest(&[later]), [Verdict::Variant]);
    for memory in [dropped, erased] {
        assert_eq!(memory.counted(), [(900, RESOLVED)]);
    }
}

#[test]
fn two_witnesses_of_one_interaction_count_once_in_one_batch_or_in_two() {
    let mut memory = Memory::default();
    let both = vec![worker("a"), gateway("a", Delivery::Delivered)];
    assert_eq!(memory.ingest(&both), [Verdict::Accepted, Verdict::Duplicate]);
    assert_eq!(memory.ingest(&both), [Verdict::Duplicate, Verdict::Duplicate]);
    assert_eq!(memory.total(), 1);
    assert_eq!(memory.marks("a").standing.witnesses(), ["gateway", "worker"]);
}

#[test]
fn the_first_worker_and_gateway_are_kept_with_the_key_and_every_other_reporter_beside_it() {
    let mut memory = Memory::default();
    let by = |mut report: Report, pod: &str| {
        report.provenance.reporter = pod.to_owned();
        report
    };
    memory.ingest(&[by(worker("a"), "pod-3")]);
    memory.ingest(&[
        by(gateway("a", Delivery::Undelivered), "pod-5"),
        by(gateway("a", Delivery::Undelivered), "pod-6"),
        by(worker("a"), "pod-4"),
    ]);
    memory.ingest(&[by(gateway("a", Delivery::Delivered), "pod-6")]);
    let marks = memory.marks("a");
    assert_eq!((marks.worker, marks.gateway, marks.delivery), (3, 5, 1));
    let key = worker("a").key;
    let beside: Vec<_> = memory.further.into_iter().collect();
    let further = |witness, reporter| FurtherReport {
        key,
        witness,
        reporter,
    };
    assert_eq!(beside, [(further(1, 4), 0), (further(2, 6), 2)]);
}

#[test]
fn a_variant_or_reversal_of_an_event_that_was_dropped_for_its_age_changes_nothing_that_is_billed() {
    let mut memory = Memory::default();
    memory.ingest(&[worker("a"), gateway("b", Delivery::Undelivered)]);
    memory.events.clear();
    let variant = report("interaction", "b", "other", Witness::Gateway, Delivery::Delivered);
    let verdicts = memory.ingest(&[variant, reversal("r", "a"), gateway("a", Delivery::Delivered)]);
    assert!(matches!(
        verdicts.as_slice(),
        [Verdict::Variant, Verdict::Rejected(..), Verdict::Duplicate]
    ));
    assert_eq!(memory.total(), 1);
    assert_eq!(
        memory.ingest(&[gateway("a", Delivery::Undelivered)]),
        [Verdict::Duplicate]
    );
    memory.ingest(&[gateway("b", Delivery::Delivered)]);
    assert_eq!(memory.total(), 2, "the same bytes say again what it was");
}

#[test]
fn an_undelivered_interaction_goes_off_the_bill_and_a_delivered_report_brings_it_back() {
    let mut memory = Memory::default();
    memory.ingest(&[worker("a")]);
    assert_eq!(memory.total(), 1);
    memory.ingest(&[gateway("a", Delivery::Undelivered)]);
    assert_eq!(memory.total(), 0);
    memory.ingest(&[gateway("a", Delivery::Delivered)]);
    assert_eq!(memory.total(), 1);
    memory.ingest(&[gateway("a", Delivery::Undelivered)]);
    assert_eq!(memory.total(), 1);
}

#[test]
fn a_variants_delivery_counts_for_the_interaction_that_came_first() {
    let mut memory = Memory::default();
    memory.ingest(&[worker("a"), gateway("a", Delivery::Undelivered)]);
    let variant = report(
        "interaction",
        "a",
        "other bytes",
        Witness::Gateway,
        Delivery::Delivered,
    );
    assert_eq!(memory.ingest(&[variant]), [Verdict::Variant]);
    assert_eq!(memory.total(), 1);
}

#[test]
fn other_bytes_of_any_other_source_are_a_conflict_that_changes_nothing() {
    let mut memory = Memory::default();
    memory.ingest(&[report(
        "handoff",
        "h",
        "one",
        Witness::Gateway,
        Delivery::Delivered,
    )]);
    let other = report("handoff", "h", "two", Witness::Gateway, Delivery::Delivered);
    assert_eq!(memory.ingest(&[other]), [Verdict::Conflict]);
    assert_eq!(memory.total(), 1);
}

#[test]
fn a_reversal_undoes_one_event_once_and_nothing_brings_it_back() {
    let mut memory = Memory::default();
    memory.ingest(&[worker("a"), worker("b")]);
    assert_eq!(
        memory.ingest(&[reversal("r1", "a"), reversal("r1", "a")]),
        [Verdict::Accepted, Verdict::Duplicate]
    );
    assert_eq!(memory.total(), 1);
    memory.ingest(&[
        gateway("a", Delivery::Undelivered),
        gateway("a", Delivery::Delivered),
    ]);
    assert_eq!(memory.total(), 1);
    let refused = |verdict: &Verdict| matches!(verdict, Verdict::Rejected(Reason::EventRejected, _));
    let again = memory.ingest(&[
        reversal("r2", "a"),
        reversal("r3", "r1"),
        reversal("r4", "none"),
        reversal("r5", "r5"),
    ]);
    assert!(again.iter().all(refused), "{again:?}");
    let mut other_meter = reversal("r6", "b");
    other_meter.event.meter = "unanswered".into();
    assert!(refused(&memory.ingest(&[other_meter])[0]));
    assert_eq!(memory.total(), 1);
    assert_eq!(memory.keys.len(), 3, "what was refused holds no identity");
}

#[test]
fn an_identity_whose_first_report_was_refused_is_free_for_the_next_in_the_same_batch() {
    let mut memory = Memory::default();
    let mut wrong = reversal("a", "none");
    wrong.hash = Digest::of(b"wrong");
    let verdicts = memory.ingest(&[wrong, worker("a")]);
    assert_eq!(verdicts[1], Verdict::Accepted);
    assert_eq!(
        memory.ingest(&[worker("a")]),
        [Verdict::Duplicate],
        "the key holds the hash of what was taken"
    );
}

#[test]
fn an_event_and_its_reversal_in_one_batch_leave_no_trace_in_usage() {
    let mut memory = Memory::default();
    assert_eq!(
        memory.ingest(&[worker("a"), reversal("r", "a")]),
        [Verdict::Accepted, Verdict::Accepted]
    );
    assert!(memory.buckets.is_empty());
}

/// What a bill should say, from all reports at once: no order, no batches.
fn naive(reports: &[Report]) -> i128 {
    let ids: HashSet<_> = reports.iter().map(|report| report.event.id.as_str()).collect();
    let billable = |id: &&str| {
        let speaks: Vec<_> = reports
            .iter()
            .filter(|report| report.event.id == *id && report.provenance.witness == Witness::Gateway)
            .map(|report| report.provenance.delivery)
            .filter(|delivery| *delivery != Delivery::Unspecified)
            .collect();
        speaks.is_empty() || speaks.contains(&Delivery::Delivered)
    };
    i128::try_from(ids.into_iter().filter(billable).count()).unwrap()
}

proptest! {
    #[test]
    fn any_order_and_any_batches_of_the_same_reports_come_to_the_same_usage(
        plan in prop::collection::vec((0_u8..6, 0_u8..2, 0_u8..3, 0_u8..2, any::<u16>()), 1..60), cut in 1_usize..8
    ) {
        let mut reports: Vec<_> = plan.into_iter().map(|(id, witness, delivery, bytes, order)| {
            let witness = if witness == 0 { Witness::Worker } else { Witness::Gateway };
            let delivery = Delivery::try_from(i32::from(delivery)).unwrap();
            (order, report("interaction", &id.to_string(), &format!("{id} {bytes}"), witness, delivery))
        }).collect();
        for pass in 0..2 {
            let mut memory = Memory::default();
            for batch in reports.chunks(cut) {
                let batch: Vec<_> = batch.iter().map(|(_, report)| report.clone()).collect();
                memory.ingest(&batch);
            }
            let all: Vec<_> = reports.iter().map(|(_, report)| report.clone()).collect();
            prop_assert_eq!(memory.total(), naive(&all), "pass {}", pass);
            reports.sort_by_key(|(order, _)| *order);
        }
    }
}

proptest! {
    #[test]
    fn a_conversation_counts_once_as_it_ended_last_however_its_witnesses_say_so(
        ends in prop::collection::vec((0_i64..4, any::<bool>(), any::<bool>()), 1..9), cuts in prop::collection::vec(any::<bool>(), 9)
    ) {
        let reports: Vec<_> = ends
            .iter()
            .map(|(at, is_resolved, by_worker)| {
                let outcome = if *is_resolved { "resolved" } else { "abandoned" };
                let witness = if *by_worker { Witness::Worker } else { Witness::Gateway };
                ended(at * 1_000, outcome, witness)
            })
            .collect();
        let mut memory = Memory::default();
        let mut batch = Vec::new();
        for (report, cut) in reports.into_iter().zip(cuts) {
            batch.push(report);
            if cut {
                memory.ingest(&std::mem::take(&mut batch));
            }
        }
        memory.ingest(&batch);
        let (last, is_resolved) = ends.iter().map(|(at, is_resolved, _)| (*at, *is_resolved)).max_by_key(|(at, is_resolved)| (*at, !is_resolved)).unwrap();
        let outcome = if is_resolved { RESOLVED } else { ABANDONED };
        prop_assert_eq!(memory.counted(), [(last * 1_000 / 900 * 900, outcome)]);
    }
}
