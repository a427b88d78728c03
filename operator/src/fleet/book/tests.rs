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
    assert!(sequence > 0, "the first is 1");
    report_of(sequence, active)
}

fn report_of(sequence: u64, active: u32) -> WorkerReport {
    WorkerReport {
        sequence,
        active,
        accepting: true,
        turns_answered: sequence.saturating_sub(1).saturating_mul(10),
        ..WorkerReport::default()
    }
}

/// A report that is believed.
fn said(
    book: &mut Book,
    worker: &WorkerFacts,
    attachment: Attachment,
    report: WorkerReport,
    now: Moment,
) -> Consequences {
    book.report(worker, attachment, report, now).unwrap()
}

fn one_pod() -> BTreeMap<String, KnownPod> {
    BTreeMap::from([("u1".to_owned(), KnownPod::default())])
}

fn waiting(sequence: u64, waiting: u32, arrived: u64) -> GatewayReport {
    GatewayReport {
        sequence,
        measured: None,
        pool: key().pool,
        waiting,
        oldest_wait: Duration::ZERO,
        arrived,
        ended: 0,
        spooled: 0,
    }
}

fn at(milliseconds: u64) -> Moment {
    Duration::from_millis(milliseconds)
}

/// A book with one worker that answered its probe.
fn with_worker() -> (Book, Attachment, Receiver<WorkerCommand>) {
    let mut book = Book::new(7, at(0));
    let (sender, receiver) = mpsc::channel(64);
    let attachment = book.attach_worker(facts("u1", "b1"), sender, at(0)).unwrap();
    said(&mut book, &facts("u1", "b1"), attachment, report(1, 0), at(0));
    book.probed(&facts("u1", "b1"), true, at(10));
    book.sync_workers(&key(), &one_pod(), 20, true);
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
    let attachment = book.attach_worker(facts("u1", "b1"), sender, at(0)).unwrap();
    let consequences = said(&mut book, &facts("u1", "b1"), attachment, report(1, 0), at(0));
    assert_eq!(
        consequences,
        Consequences {
            step: true,
            probe: true
        }
    );
    assert!(!book.view(&key(), at(1)).workers[0].available);
    let again = said(&mut book, &facts("u1", "b1"), attachment, report(2, 0), at(1));
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
    let attachment = book.attach_worker(facts("u1", "b1"), sender, at(0)).unwrap();
    let consequences = said(&mut book, &facts("u1", "b1"), attachment, report(40, 3), at(0));
    assert!(!consequences.probe);
    assert!(book.view(&key(), at(1)).workers[0].available);
}

#[test]
fn repeated_and_reordered_reports_change_nothing() {
    let (mut book, attachment, _commands) = with_worker();
    said(&mut book, &facts("u1", "b1"), attachment, report(5, 9), at(20));
    for sequence in [5, 3, 0] {
        let refused = book.report(&facts("u1", "b1"), attachment, report_of(sequence, 1), at(30));
        assert_eq!(refused, Err(Nonsense::Old { sequence, known: 5 }));
    }
    let view = book.view(&key(), at(50));
    assert_eq!((view.workers[0].active, view.turns_answered), (9, 40));
}

#[test]
fn a_restarted_worker_is_probed_again_and_its_count_begins_anew() {
    let (mut book, attachment, _commands) = with_worker();
    said(&mut book, &facts("u1", "b1"), attachment, report(2, 0), at(50));
    let (sender, _again) = mpsc::channel(64);
    let attachment = book.attach_worker(facts("u1", "b2"), sender, at(100)).unwrap();
    assert!(!book.view(&key(), at(100)).workers[0].available);
    let consequences = said(&mut book, &facts("u1", "b2"), attachment, report(1, 0), at(100));
    assert!(consequences.probe);
    said(&mut book, &facts("u1", "b2"), attachment, report(2, 0), at(110));
    assert_eq!(book.view(&key(), at(110)).turns_answered, 20);
}

#[test]
fn a_worker_that_is_not_heard_is_silent() {
    let (mut book, attachment, _commands) = with_worker();
    assert!(!book.view(&key(), at(2_250)).workers[0].silent);
    let silent = book.view(&key(), at(2_251)).workers[0].clone();
    assert!(silent.silent);
    assert_eq!(silent.age, Some(at(2_251)));
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
    said(&mut book, &facts("u1", "b1"), attachment, report(2, 0), at(101));
    assert!(
        !settled(&book),
        "this report may have been sent before the command arrived"
    );
    let acknowledged = |book: &mut Book, transitions, sequence| {
        let epoch = Epoch {
            transitions,
            sequence,
        };
        book.cordon_acknowledged(&facts("u1", "b1"), attachment, epoch)
    };
    for (transitions, sequence) in [(6, 2), (8, 2), (7, 3)] {
        let refused = acknowledged(&mut book, transitions, sequence);
        assert_eq!(refused, Err(Nonsense::Acknowledgement), "never given");
    }
    assert_eq!(acknowledged(&mut book, 7, 1), Ok(()), "another has overtaken it");
    said(&mut book, &facts("u1", "b1"), attachment, report(3, 0), at(102));
    assert!(!settled(&book), "an acknowledgement of another command");
    assert_eq!(acknowledged(&mut book, 7, 2), Ok(()));
    assert_eq!(
        acknowledged(&mut book, 7, 2),
        Err(Nonsense::Acknowledgement),
        "twice"
    );
    said(&mut book, &facts("u1", "b1"), attachment, report(4, 0), at(103));
    assert!(settled(&book));
}

#[test]
fn gateways_learn_of_doors_at_once_and_of_counts_when_they_are_pushed() {
    let (mut book, attachment, _commands) = with_worker();
    let (sender, mut receiver) = mpsc::channel(64);
    book.attach_gateway(gateway(), sender, at(50));
    assert!(last_endpoints(&mut receiver).unwrap()[0].accepting);
    said(&mut book, &facts("u1", "b1"), attachment, report(2, 5), at(60));
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
    book.sync_workers(&key(), &one_pod(), 20, false);
    assert_eq!(last_endpoints(&mut receiver), None);
    book.sync_workers(&key(), &one_pod(), 20, true);
    assert_eq!(last_endpoints(&mut receiver), Some(vec![]));
}

#[test]
fn a_report_that_crossed_a_call_to_stay_is_no_leave_taking_and_one_that_comes_later_is() {
    let (mut book, attachment, mut commands) = with_worker();
    let worker = facts("u1", "b1");
    let drains = |sequence| WorkerReport {
        accepting: false,
        draining: true,
        ..report(sequence, 5)
    };
    book.cordon(&key(), "u1", Duration::from_mins(1), at(1_000));
    book.uncordon(&key(), "u1", at(1_000));
    let draining = |book: &Book, now| book.view(&key(), now).worker("u1").unwrap().draining;
    said(&mut book, &worker, attachment, report(2, 5), at(1_001));
    let available = book.view(&key(), at(1_001)).worker("u1").unwrap().available;
    assert!(!available, "it has heard of neither, and first comes the cordon");
    let mut cordon = None;
    while let Ok(WorkerCommand { command }) = commands.try_recv() {
        if let Some(worker_command::Command::Cordon(command)) = command {
            cordon = command.epoch;
        }
    }
    let cordon: Epoch = cordon.unwrap().into();
    book.cordon_acknowledged(&worker, attachment, cordon).unwrap();
    said(&mut book, &worker, attachment, drains(3), at(1_002));
    assert!(!draining(&book, at(1_002)), "it was on its way");
    said(&mut book, &worker, attachment, report(4, 5), at(1_003));
    said(&mut book, &worker, attachment, drains(5), at(1_004));
    assert!(
        draining(&book, at(1_004)),
        "it was heard to stay, and leaves by itself now"
    );

    book.cordon(&key(), "u1", Duration::from_mins(1), at(2_000));
    book.uncordon(&key(), "u1", at(2_001));
    let ending = WorkerReport {
        ending: true,
        ..drains(6)
    };
    said(&mut book, &worker, attachment, ending, at(2_002));
    assert!(draining(&book, at(2_002)), "its Pod ends whatever it is told");
    said(&mut book, &worker, attachment, drains(7), at(2_001 + 3_000));
    assert!(draining(&book, at(5_001)), "after so long it did not cross");
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
    said(&mut book, &worker, attachment, load(2, 3, 1_000), at(1_010));
    said(&mut book, &worker, attachment, load(3, 4, 2_000), at(2_010));
    let rise = book.view(&key(), at(2_010)).rise.unwrap();
    assert_eq!(
        (rise.heard, rise.measured, rise.by.as_str()),
        (at(1_010), measured(1_000), "web-u1")
    );
    book.decided(&key());
    said(&mut book, &worker, attachment, load(4, 2, 3_000), at(3_010));
    assert_eq!(book.view(&key(), at(3_010)).rise, None, "a fall is no rise");
}

#[test]
fn waiting_and_rates_are_summed_over_gateways_that_are_heard() {
    let mut book = Book::new(7, at(0));
    let (sender, _receiver) = mpsc::channel(64);
    let attachment = book.attach_gateway(gateway(), sender, at(0));
    let facts = gateway();
    assert!(
        book.gateway_report(&facts, attachment, waiting(1, 3, 0), at(0))
            .unwrap()
    );
    assert!(
        !book
            .gateway_report(&facts, attachment, waiting(2, 3, 8), at(2_000))
            .unwrap(),
        "no step without a change"
    );
    let view = book.view(&key(), at(2_000));
    assert_eq!((view.waiting, view.rates.current().arrivals), (3, 4.0));
    let later = book.view(&key(), at(9_000));
    let gateway = &later.gateways[0];
    assert_eq!((later.waiting, gateway.silent, gateway.waiting), (0, true, 3));
    assert_eq!(
        gateway.age,
        Some(at(7_000)),
        "what it said last is kept, and how old it is"
    );
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
            drop(shuffled.report(&facts("u1", "b1"), attachment, report(*sequence, load), at(20)));
        }
        let (mut ordered, attachment, _commands) = with_worker();
        order.sort_unstable();
        order.dedup();
        for sequence in order {
            let load = loads[usize::try_from(sequence).unwrap()];
            drop(ordered.report(&facts("u1", "b1"), attachment, report(sequence, load), at(20)));
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
    assert!(book.fell_silent(at(2_250)).is_empty());
    assert_eq!(Vec::from_iter(book.fell_silent(at(2_300))), [key()]);
    assert!(book.fell_silent(at(5_000)).is_empty(), "it is known");
    let heard = |book: &mut Book, sequence, now| {
        said(book, &facts("u1", "b1"), attachment, report(sequence, 0), now).step
    };
    assert!(heard(&mut book, 2, at(6_000)), "though nothing else has changed");
    assert!(!heard(&mut book, 3, at(7_000)));
    assert!(
        book.gateway_report(&gateway(), gateways, waiting(1, 0, 0), at(7_000))
            .unwrap()
    );
    assert!(
        !book
            .gateway_report(&gateway(), gateways, waiting(2, 0, 0), at(7_500))
            .unwrap()
    );
    assert_eq!(Vec::from_iter(book.fell_silent(at(9_800))), [key()]);
}

#[test]
fn the_first_step_since_the_last_decision_is_remembered_until_the_next() {
    let (mut book, attachment, _commands) = with_worker();
    book.decided(&key());
    said(&mut book, &facts("u1", "b1"), attachment, report(2, 0), at(1_000));
    assert_eq!(
        book.view(&key(), at(1_000)).stepped,
        None,
        "a heartbeat is no step"
    );
    said(&mut book, &facts("u1", "b1"), attachment, report(3, 2), at(1_500));
    said(&mut book, &facts("u1", "b1"), attachment, report(4, 1), at(1_600));
    assert_eq!(book.view(&key(), at(1_600)).stepped, Some(at(1_500)));
    book.decided(&key());
    assert_eq!(book.view(&key(), at(1_600)).stepped, None);
}

#[test]
fn whoever_repeats_itself_falls_silent_and_what_it_said_last_is_kept_with_its_age() {
    let (mut book, attachment, _commands) = with_worker();
    let (sender, _endpoints) = mpsc::channel(64);
    let gateways = book.attach_gateway(gateway(), sender, at(0));
    said(&mut book, &facts("u1", "b1"), attachment, report(2, 9), at(1_000));
    book.gateway_report(&gateway(), gateways, waiting(2, 4, 4), at(1_000))
        .unwrap();
    for second in 1..=4 {
        let now = at(second * 1_000);
        let replayed = book.report(&facts("u1", "b1"), attachment, report(2, 9), now);
        assert!(replayed.is_err());
        let replayed = book.gateway_report(&gateway(), gateways, waiting(2, 4, 4), now);
        assert!(replayed.is_err());
    }
    let view = book.view(&key(), at(4_000));
    let worker = &view.workers[0];
    assert_eq!(
        (worker.silent, worker.active, worker.age),
        (true, 9, Some(at(3_000)))
    );
    assert_eq!((view.waiting, view.gateways[0].age), (0, Some(at(3_000))));
    assert_eq!(book.fell_silent(at(4_000)).len(), 1);
}

#[test]
fn a_new_stream_of_the_same_boot_makes_what_it_said_before_no_younger() {
    let (mut book, _, _commands) = with_worker();
    let (sender, _again) = mpsc::channel(64);
    book.attach_worker(facts("u1", "b1"), sender, at(5_000)).unwrap();
    let worker = book.view(&key(), at(5_000)).workers[0].clone();
    assert_eq!((worker.silent, worker.age), (true, Some(at(5_000))));
    let (sender, _first) = mpsc::channel(64);
    let attachment = book.attach_gateway(gateway(), sender, at(0));
    book.gateway_report(&gateway(), attachment, waiting(1, 4, 4), at(0))
        .unwrap();
    let (sender, _second) = mpsc::channel(64);
    book.attach_gateway(gateway(), sender, at(5_000));
    assert_eq!(book.view(&key(), at(5_000)).waiting, 0);
}

#[test]
fn a_number_that_no_report_can_have_yet_is_refused_so_that_those_that_follow_are_believed() {
    let (mut book, attachment, _commands) = with_worker();
    for sequence in [2_000, u64::MAX] {
        let refused = book.report(&facts("u1", "b1"), attachment, report_of(sequence, 20), at(20));
        assert_eq!(refused, Err(Nonsense::Skipped { sequence, known: 1 }));
    }
    let believed = said(&mut book, &facts("u1", "b1"), attachment, report(2, 3), at(30));
    assert!(believed.step);
    assert_eq!(book.view(&key(), at(30)).workers[0].active, 3);
}

#[test]
fn a_gateway_that_is_heard_about_one_pool_is_silent_about_another() {
    let mut book = Book::new(7, at(0));
    let both = GatewayFacts {
        pools: vec![key().pool, PoolId::parse("voice").unwrap()],
        ..gateway()
    };
    let (sender, _endpoints) = mpsc::channel(64);
    let attachment = book.attach_gateway(both.clone(), sender, at(0));
    book.gateway_report(&both, attachment, waiting(1, 5, 5), at(3_000))
        .unwrap();
    let told = Vec::from_iter(book.fell_silent(at(3_000)));
    let voice = PoolKey {
        pool: PoolId::parse("voice").unwrap(),
        ..key()
    };
    assert_eq!(told, std::slice::from_ref(&voice));
    let silent = |book: &Book, key: &PoolKey| book.view(key, at(3_000)).gateways[0].silent;
    assert_eq!((silent(&book, &key()), silent(&book, &voice)), (false, true));
    let third = PoolKey {
        pool: PoolId::parse("chat").unwrap(),
        ..key()
    };
    assert!(
        !silent(&book, &third),
        "of a pool that it does not serve it has nothing to say"
    );
}

/// A worker that says that it takes that many conversations at once, and has ten.
fn claims(book: &mut Book, uid: &str, capacity: u32) -> Result<(), Nonsense> {
    let claims = WorkerFacts {
        capacity,
        ..facts(uid, "b1")
    };
    let (sender, _commands) = mpsc::channel(64);
    let attachment = book.attach_worker(claims.clone(), sender, at(0))?;
    said(book, &claims, attachment, report(2, 10), at(0));
    Ok(())
}

#[test]
fn a_worker_that_takes_more_than_its_pod_was_given_is_turned_away() {
    let (mut book, ..) = with_worker();
    let pod = |capacity| KnownPod {
        capacity,
        terminating: false,
    };
    // The pool gave 40 once, and gives 20 now.
    let pods = [("u1", Some(20)), ("u2", Some(40)), ("u3", None)];
    let pods = pods.map(|(uid, capacity)| (uid.to_owned(), pod(capacity))).into();
    book.sync_workers(&key(), &pods, 20, true);
    assert_eq!(claims(&mut book, "u2", 40), Ok(()), "as it was given");
    assert_eq!(claims(&mut book, "u4", 40), Ok(()), "its Pod may be shown later");
    let (claimed, given) = (1_000, 40);
    assert_eq!(
        claims(&mut book, "u5", 1_000),
        Err(Nonsense::Capacity { claimed, given })
    );
    let (claimed, given) = (21, 20);
    assert_eq!(
        claims(&mut book, "u1", 21),
        Err(Nonsense::Capacity { claimed, given })
    );
}

#[test]
fn a_worker_that_attached_before_its_pod_was_known_is_believed_no_longer_if_it_takes_more() {
    for (given, believed) in [(Some(20), false), (None, false), (Some(1_000), true)] {
        let mut book = Book::new(7, at(0));
        claims(&mut book, "u1", 1_000).unwrap();
        let pods = BTreeMap::from([(
            "u1".to_owned(),
            KnownPod {
                capacity: given,
                terminating: false,
            },
        )]);
        book.sync_workers(&key(), &pods, 20, true);
        let worker = book.view(&key(), at(0)).workers[0].clone();
        assert_eq!(worker.silent, !believed, "given {given:?}");
    }
}
