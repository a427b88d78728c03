use futures::channel::mpsc::Receiver;
use proptest::prelude::*;
use springtide_proto::fleet::{GatewayCommand, WorkerCommand, gateway_command, worker_command};
use springtide_proto::ids::{BootId, PodName, PoolId};

use super::*;

fn key() -> PoolKey {
    PoolKey {
        tenant: TenantId::parse("acme").unwrap(),
        pool: PoolId::parse("web").unwrap(),
    }
}

fn facts(uid: &str, boot: &str) -> WorkerFacts {
    WorkerFacts {
        key: key(),
        pod: PodName::parse(format!("web-{uid}")).unwrap(),
        pod_uid: PodUid::parse(uid).unwrap(),
        boot_id: BootId::parse(boot).unwrap(),
        address: "10.0.0.1:7443".parse().unwrap(),
        node: "node-1".to_owned(),
        version: "0.1.0".to_owned(),
        capacity: 20,
    }
}

fn gateway() -> GatewayFacts {
    GatewayFacts {
        tenant: key().tenant,
        pod: PodName::parse("gateway-1").unwrap(),
        pod_uid: PodUid::parse("g1").unwrap(),
        boot_id: BootId::parse("b1").unwrap(),
        pools: vec![key().pool],
    }
}

fn report(sequence: u64, active: u32) -> WorkerReport {
    WorkerReport {
        sequence,
        active,
        accepting: true,
        turns_answered: (sequence - 1) * 10,
        ..WorkerReport::default()
    }
}

fn at(milliseconds: u64) -> Moment {
    Duration::from_millis(milliseconds)
}

/// A book with one worker that answered its probe.
fn with_worker() -> (Book, Attachment, Receiver<WorkerCommand>) {
    let mut book = Book::new(7, at(0));
    let (sender, receiver) = mpsc::channel(64);
    let attachment = book.attach_worker(facts("u1", "b1"), sender, at(0));
    book.report(&facts("u1", "b1"), attachment, report(1, 0), at(0));
    book.probed(&facts("u1", "b1"), true, at(10));
    book.sync_workers(&key(), &BTreeMap::from([("u1".to_owned(), false)]), true);
    (book, attachment, receiver)
}

fn last_endpoints(receiver: &mut Receiver<GatewayCommand>) -> Option<Vec<Endpoint>> {
    let mut last = None;
    while let Ok(GatewayCommand { command }) = receiver.try_recv() {
        if let Some(gateway_command::Command::Endpoints(endpoints)) = command {
            last = Some(endpoints.endpoints);
        }
    }
    last
}

#[test]
fn gateways_are_told_at_once_when_a_pool_reaches_its_contracts_limit_and_when_it_leaves_it() {
    let (mut book, ..) = with_worker();
    let (sender, mut receiver) = mpsc::channel(64);
    let mut told = |book: &mut Book, is_there| {
        book.at_contract_limit(&key(), is_there);
        let mut told = Vec::new();
        while let Ok(GatewayCommand { command }) = receiver.try_recv() {
            if let Some(gateway_command::Command::Endpoints(endpoints)) = command {
                told.push(endpoints.at_contract_limit);
            }
        }
        told
    };
    book.attach_gateway(gateway(), sender, at(50));
    assert_eq!(told(&mut book, true), [false, true]);
    assert_eq!(told(&mut book, true), [false; 0], "they know");
    let (sender, mut late) = mpsc::channel(64);
    book.attach_gateway(gateway(), sender, at(60));
    assert!(
        std::iter::from_fn(|| late.try_recv().ok()).any(|command| matches!(
            command.command,
            Some(gateway_command::Command::Endpoints(endpoints)) if endpoints.at_contract_limit
        ))
    );
}

#[test]
fn a_worker_counts_only_after_it_answered_its_probe() {
    let mut book = Book::new(7, at(0));
    let (sender, _commands) = mpsc::channel(64);
    let attachment = book.attach_worker(facts("u1", "b1"), sender, at(0));
    let consequences = book.report(&facts("u1", "b1"), attachment, report(1, 0), at(0));
    assert_eq!(
        consequences,
        Consequences {
            step: true,
            probe: true
        }
    );
    assert!(!book.view(&key(), at(1)).workers[0].available);
    let again = book.report(&facts("u1", "b1"), attachment, report(2, 0), at(1));
    assert_eq!(
        again,
        Consequences::default(),
        "one probe at a time, and no step without a change"
    );
    book.probed(&facts("u1", "b1"), true, at(2));
    assert!(book.view(&key(), at(3)).workers[0].available);
}

#[test]
fn a_new_leader_takes_over_a_worker_that_answered_customers_without_a_probe() {
    let mut book = Book::new(8, at(0));
    let (sender, _commands) = mpsc::channel(64);
    let attachment = book.attach_worker(facts("u1", "b1"), sender, at(0));
    let consequences = book.report(&facts("u1", "b1"), attachment, report(40, 3), at(0));
    assert!(!consequences.probe);
    assert!(book.view(&key(), at(1)).workers[0].available);
}

#[test]
fn repeated_and_reordered_reports_change_nothing() {
    let (mut book, attachment, _commands) = with_worker();
    book.report(&facts("u1", "b1"), attachment, report(5, 9), at(20));
    let dropped = book.report(&facts("u1", "b1"), attachment, report(5, 1), at(30));
    assert_eq!(dropped, Consequences::default());
    book.report(&facts("u1", "b1"), attachment, report(3, 2), at(40));
    let view = book.view(&key(), at(50));
    assert_eq!((view.workers[0].active, view.turns_answered), (9, 40));
}

#[test]
fn a_restarted_worker_is_probed_again_and_its_count_begins_anew() {
    let (mut book, attachment, _commands) = with_worker();
    book.report(&facts("u1", "b1"), attachment, report(2, 0), at(50));
    let (sender, _again) = mpsc::channel(64);
    let attachment = book.attach_worker(facts("u1", "b2"), sender, at(100));
    assert!(!book.view(&key(), at(100)).workers[0].available);
    let consequences = book.report(&facts("u1", "b2"), attachment, report(1, 0), at(100));
    assert!(consequences.probe);
    book.report(&facts("u1", "b2"), attachment, report(2, 0), at(110));
    assert_eq!(book.view(&key(), at(110)).turns_answered, 20);
}

#[test]
fn a_worker_that_is_not_heard_is_silent() {
    let (mut book, attachment, _commands) = with_worker();
    assert!(!book.view(&key(), at(2_500)).workers[0].silent);
    assert!(book.view(&key(), at(2_501)).workers[0].silent);
    book.detach_worker(&facts("u1", "b1"), attachment);
    assert!(book.view(&key(), at(20)).workers[0].silent);
}

#[test]
fn a_cordoned_worker_is_settled_only_by_a_report_after_its_acknowledgement() {
    let (mut book, attachment, mut commands) = with_worker();
    assert!(book.cordon(&key(), "u1", Duration::from_mins(2), at(100)));
    let mut cordon = None;
    while let Ok(WorkerCommand { command }) = commands.try_recv() {
        if let Some(worker_command::Command::Cordon(command)) = command {
            cordon = command.epoch;
        }
    }
    let epoch: Epoch = cordon.unwrap().into();
    assert_eq!(
        epoch,
        Epoch {
            transitions: 7,
            sequence: 2
        }
    );
    let settled = |book: &Book| book.view(&key(), at(110)).workers[0].cordon.unwrap().settled;
    book.report(&facts("u1", "b1"), attachment, report(2, 0), at(101));
    assert!(
        !settled(&book),
        "this report may have been sent before the command arrived"
    );
    book.cordon_acknowledged(
        &facts("u1", "b1"),
        attachment,
        Epoch {
            transitions: 6,
            sequence: 9,
        },
    );
    book.report(&facts("u1", "b1"), attachment, report(3, 0), at(102));
    assert!(!settled(&book), "an acknowledgement of another command");
    book.cordon_acknowledged(&facts("u1", "b1"), attachment, epoch);
    book.report(&facts("u1", "b1"), attachment, report(4, 0), at(103));
    assert!(settled(&book));
}

#[test]
fn gateways_learn_of_doors_at_once_and_of_counts_when_they_are_pushed() {
    let (mut book, attachment, _commands) = with_worker();
    let (sender, mut receiver) = mpsc::channel(64);
    book.attach_gateway(gateway(), sender, at(50));
    assert!(last_endpoints(&mut receiver).unwrap()[0].accepting);
    book.report(&facts("u1", "b1"), attachment, report(2, 5), at(60));
    assert_eq!(last_endpoints(&mut receiver), None);
    book.push_counts();
    assert_eq!(last_endpoints(&mut receiver).unwrap()[0].active, 5);
    book.cordon(&key(), "u1", Duration::from_secs(1), at(70));
    assert!(!last_endpoints(&mut receiver).unwrap()[0].accepting);
}

#[test]
fn a_new_leader_takes_no_worker_from_gateways_before_its_book_is_complete() {
    let mut book = Book::new(8, at(0));
    let (sender, mut receiver) = mpsc::channel(64);
    book.attach_gateway(gateway(), sender, at(0));
    book.sync_workers(&key(), &BTreeMap::from([("u1".to_owned(), false)]), false);
    assert_eq!(last_endpoints(&mut receiver), None);
    book.sync_workers(&key(), &BTreeMap::from([("u1".to_owned(), false)]), true);
    assert_eq!(last_endpoints(&mut receiver), Some(vec![]));
}

#[test]
fn the_first_rise_in_load_is_remembered_until_it_was_decided_upon() {
    let (mut book, attachment, _commands) = with_worker();
    let worker = facts("u1", "b1");
    let measured = |milliseconds| jiff::Timestamp::from_millisecond(milliseconds).ok();
    let load = |sequence, active, milliseconds| WorkerReport {
        measured: measured(milliseconds),
        ..report(sequence, active)
    };
    book.report(&worker, attachment, load(2, 3, 1_000), at(1_010));
    book.report(&worker, attachment, load(3, 4, 2_000), at(2_010));
    let rise = book.view(&key(), at(2_010)).rise.unwrap();
    assert_eq!(
        (rise.heard, rise.measured, rise.by.as_str()),
        (at(1_010), measured(1_000), "web-u1")
    );
    book.decided(&key());
    book.report(&worker, attachment, load(4, 2, 3_000), at(3_010));
    assert_eq!(book.view(&key(), at(3_010)).rise, None, "a fall is no rise");
}

#[test]
fn waiting_and_rates_are_summed_over_gateways_that_are_heard() {
    let mut book = Book::new(7, at(0));
    let (sender, _receiver) = mpsc::channel(64);
    let attachment = book.attach_gateway(gateway(), sender, at(0));
    let waiting = |sequence, waiting, arrived| GatewayReport {
        sequence,
        measured: None,
        pool: key().pool,
        waiting,
        oldest_wait: Duration::ZERO,
        arrived,
        ended: 0,
        spooled: 0,
    };
    let facts = gateway();
    assert!(book.gateway_report(&facts, attachment, waiting(1, 3, 0), at(0)));
    assert!(
        !book.gateway_report(&facts, attachment, waiting(2, 3, 8), at(2_000)),
        "no step without a change"
    );
    let view = book.view(&key(), at(2_000));
    assert_eq!((view.waiting, view.rates.current().arrivals), (3, 4.0));
    let later = book.view(&key(), at(9_000));
    assert_eq!((later.waiting, later.heard_gateways.len()), (0, 0));
}

proptest! {
    #[test]
    fn the_order_and_repetition_of_reports_do_not_matter(
        mut order in proptest::collection::vec(1_u64..12, 1..40), loads in proptest::collection::vec(0_u32..=20, 12),
    ) {
        let (mut shuffled, attachment, _commands) = with_worker();
        let highest = order.iter().copied().max().unwrap_or(1);
        for sequence in &order {
            let load = loads[usize::try_from(*sequence).unwrap()];
            shuffled.report(&facts("u1", "b1"), attachment, report(*sequence, load), at(20));
        }
        let (mut ordered, attachment, _commands) = with_worker();
        order.sort_unstable();
        order.dedup();
        for sequence in order {
            let load = loads[usize::try_from(sequence).unwrap()];
            ordered.report(&facts("u1", "b1"), attachment, report(sequence, load), at(20));
        }
        let (one, other) = (shuffled.view(&key(), at(30)), ordered.view(&key(), at(30)));
        prop_assert_eq!(one.workers[0].active, other.workers[0].active);
        prop_assert_eq!(one.turns_answered, other.turns_answered);
        prop_assert_eq!(one.turns_answered, (highest - 1) * 10);
    }
}

#[test]
fn a_pool_is_told_once_that_a_peer_fell_silent_and_at_once_when_it_is_heard_again() {
    let (mut book, attachment, _commands) = with_worker();
    let (sender, _endpoints) = mpsc::channel(64);
    let gateways = book.attach_gateway(gateway(), sender, at(0));
    assert!(book.fell_silent(at(2_500)).is_empty());
    assert_eq!(Vec::from_iter(book.fell_silent(at(2_600))), [key()]);
    assert!(book.fell_silent(at(5_000)).is_empty(), "it is known");
    let heard = |book: &mut Book, sequence, now| {
        book.report(&facts("u1", "b1"), attachment, report(sequence, 0), now)
            .step
    };
    assert!(heard(&mut book, 2, at(6_000)), "though nothing else has changed");
    assert!(!heard(&mut book, 3, at(7_000)));
    let waiting = |sequence| GatewayReport {
        sequence,
        measured: None,
        pool: key().pool,
        waiting: 0,
        oldest_wait: Duration::ZERO,
        arrived: 0,
        ended: 0,
        spooled: 0,
    };
    assert!(book.gateway_report(&gateway(), gateways, waiting(1), at(7_000)));
    assert!(!book.gateway_report(&gateway(), gateways, waiting(2), at(7_500)));
    assert_eq!(Vec::from_iter(book.fell_silent(at(9_800))), [key()]);
}

#[test]
fn the_first_step_since_the_last_decision_is_remembered_until_the_next() {
    let (mut book, attachment, _commands) = with_worker();
    book.decided(&key());
    book.report(&facts("u1", "b1"), attachment, report(2, 0), at(1_000));
    assert_eq!(
        book.view(&key(), at(1_000)).stepped,
        None,
        "a heartbeat is no step"
    );
    book.report(&facts("u1", "b1"), attachment, report(3, 2), at(1_500));
    book.report(&facts("u1", "b1"), attachment, report(4, 1), at(1_600));
    assert_eq!(book.view(&key(), at(1_600)).stepped, Some(at(1_500)));
    book.decided(&key());
    assert_eq!(book.view(&key(), at(1_600)).stepped, None);
}
