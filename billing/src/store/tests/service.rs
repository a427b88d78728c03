//! Minutes of service and exclusions.

use std::time::{Duration, Instant};

use springtide_proto::ids::TenantId;
use springtide_proto::metering::{ReportMinutesRequest, ServiceMinute};
use springtide_proto::time::timestamp_to_wire;
use springtide_runtime::identity::{PeerIdentity, SystemRole, TenantRole};

use super::support::{Bench, at, november, november_period, now, uid};
use crate::bill::issue;
use crate::rating::period::Bounds;
use crate::service_level::hour::Offered;
use crate::service_level::report::{MinutesReport, examine};
use crate::store::{ExclusionOutcome, Landed, NewExclusion, Store};

pub(super) fn minute(boot_id: &str, time: &str, good: u64, bad: u64) -> ServiceMinute {
    ServiceMinute {
        pool: "web".into(),
        boot_id: boot_id.into(),
        minute: Some(timestamp_to_wire(at(time))),
        good,
        bad,
        fast: good,
        slow: 0,
    }
}

fn report_by(peer: &PeerIdentity, tenant: &str, uid: String, minutes: Vec<ServiceMinute>) -> MinutesReport {
    let request = ReportMinutesRequest {
        tenant_uid: uid,
        tenant: tenant.into(),
        reporter: "gateway-0".into(),
        minutes,
    };
    examine(request, peer, now()).unwrap()
}

fn report(tenant: &str, minutes: Vec<ServiceMinute>) -> MinutesReport {
    let peer = PeerIdentity::tenant(&TenantId::parse(tenant).unwrap(), TenantRole::Gateway);
    report_by(&peer, tenant, uid(tenant), minutes)
}

pub(super) async fn take(store: &Store, tenant: &str, minutes: Vec<ServiceMinute>) -> Vec<Offered> {
    store
        .take_minutes(&report(tenant, minutes))
        .await
        .unwrap()
        .unwrap()
}

/// What a tenant's November has: (good, bad) of each minute.
async fn service(bench: &Bench, tenant: &str) -> Vec<(String, u64, u64)> {
    let (ledger, _) = bench.store.ledgers_named(tenant).await.unwrap()[0];
    let minutes = bench
        .store
        .service_minutes(ledger, &november(), Landed::EVER)
        .await
        .unwrap();
    minutes
        .into_iter()
        .map(|(minute, counts)| (minute.to_string(), counts.good, counts.bad))
        .collect()
}

fn row(time: &str, good: u64, bad: u64) -> (String, u64, u64) {
    (time.to_owned(), good, bad)
}

pub(super) async fn a_minute_is_taken_once_and_stands_whatever_is_reported_after_it(bench: Bench) {
    let (one, two) = ("2026-11-11T00:00:00Z", "2026-11-11T00:59:00Z");
    let first = vec![
        minute("a", one, 3, 1),
        minute("a", one, 3, 1),
        minute("a", two, 0, 0),
    ];
    let offered = take(&bench.store, "acme", first).await;
    assert_eq!(offered, [Offered::New, Offered::Same, Offered::New]);
    let again = vec![minute("a", two, 9, 9), minute("a", one, 3, 1)];
    let offered = take(&bench.again().await, "acme", again).await;
    assert_eq!(offered, [Offered::Other, Offered::Same]);
    assert_eq!(service(&bench, "acme").await, [row(one, 3, 1), row(two, 0, 0)]);
}

pub(super) async fn minutes_land_in_the_statement_that_is_open_and_are_known_for_ever(bench: Bench) {
    let account = bench.account("acme").await;
    let (one, two) = ("2026-11-11T00:00:00Z", "2026-11-11T00:59:00Z");
    take(&bench.store, "acme", vec![minute("a", one, 3, 1)]).await;
    issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    let again = vec![
        minute("a", one, 9, 9),
        minute("a", one, 3, 1),
        minute("a", two, 5, 0),
    ];
    let offered = take(&bench.store, "acme", again).await;
    assert_eq!(offered, [Offered::Other, Offered::Same, Offered::New]);
    let landed = async |landed| {
        let minutes = bench
            .store
            .service_minutes(account.ledger, &november(), landed)
            .await;
        let minutes = minutes.unwrap().into_iter();
        minutes
            .map(|(minute, counts)| (minute, counts.good))
            .collect::<Vec<_>>()
    };
    assert_eq!(landed(Landed::up_to(1)).await, [(at(one), 3)]);
    assert_eq!(landed(Landed::after(1)).await, [(at(two), 5)]);
    assert_eq!(landed(Landed::EVER).await, [(at(one), 3), (at(two), 5)]);
    let last = async |landed| {
        let before = november().end;
        bench
            .store
            .last_minute(account.ledger, before, landed)
            .await
            .unwrap()
    };
    assert_eq!(
        last(Landed::up_to(1)).await.map(|(minute, ..)| minute),
        Some(at(one))
    );
    assert_eq!(last(Landed::EVER).await.map(|(minute, ..)| minute), Some(at(two)));
    assert_eq!(last(Landed::after(2)).await, None);
    let before = bench
        .store
        .last_minute(account.ledger, november().start, Landed::EVER)
        .await;
    assert_eq!(before.unwrap(), None);
}

pub(super) async fn minutes_of_all_pools_and_gateways_are_summed_and_other_tenants_are_none_of_them(
    bench: Bench,
) {
    // The first and the last minute of November in Shanghai, and their neighbours outside of it.
    let (before, first) = ("2026-10-31T15:59:00Z", "2026-10-31T16:00:00Z");
    let (last, after) = ("2026-11-30T15:59:00Z", "2026-11-30T16:00:00Z");
    let other_pool = ServiceMinute {
        pool: "night".into(),
        ..minute("a", first, 10, 0)
    };
    let minutes = vec![
        minute("a", before, 1, 0),
        minute("a", first, 2, 0),
        minute("b", first, 3, 1),
        other_pool,
        minute("a", last, 4, 0),
        minute("a", after, 5, 0),
    ];
    take(&bench.store, "acme", minutes).await;
    take(&bench.store, "other", vec![minute("a", first, 100, 100)]).await;
    assert_eq!(
        service(&bench, "acme").await,
        [row(first, 15, 1), row(last, 4, 0)]
    );
    let operator = PeerIdentity::System(SystemRole::Operator);
    let probed = vec![
        minute("operator", first, 0, 1),
        minute("operator", "2026-11-11T00:00:00Z", 0, 1),
    ];
    let probed = report_by(&operator, "acme", uid("acme"), probed);
    bench.store.take_minutes(&probed).await.unwrap().unwrap();
    assert_eq!(
        service(&bench, "acme").await,
        [row(first, 15, 2), row(last, 4, 0)]
    );
}

pub(super) async fn concurrent_reports_of_one_gateway_lose_no_minute(bench: Bench) {
    let other = bench.again().await;
    let reports = (0..60).map(|number| {
        let store = if number % 2 == 0 {
            bench.store.clone()
        } else {
            other.clone()
        };
        async move {
            let time = format!("2026-11-11T00:{number:02}:00Z");
            take(&store, "acme", vec![minute("a", &time, 1, 0)]).await
        }
    });
    let offered = futures::future::join_all(reports).await;
    assert!(offered.iter().all(|offered| offered[..] == [Offered::New]));
    assert_eq!(service(&bench, "acme").await.len(), 60);
}

pub(super) async fn a_month_of_two_gateways_is_read_at_once(bench: Bench) {
    let Bounds { start, end } = november();
    let number = (end.as_second() - start.as_second()) / 60;
    for boot in ["a", "b"] {
        let minutes: Vec<_> = (0..number)
            .map(|minute_of| {
                let begins = start + jiff::SignedDuration::from_mins(minute_of);
                minute(boot, &begins.to_string(), 300, 1)
            })
            .collect();
        for batch in minutes.chunks(10_000) {
            take(&bench.store, "acme", batch.to_vec()).await;
        }
    }
    let (ledger, _) = bench.store.ledgers_named("acme").await.unwrap()[0];
    #[expect(clippy::disallowed_methods, reason = "it is measured")]
    let started = Instant::now();
    let minutes = bench
        .store
        .service_minutes(ledger, &november(), Landed::EVER)
        .await
        .unwrap();
    let took = started.elapsed();
    println!("{} minutes read in {took:?}", minutes.len());
    assert_eq!(i64::try_from(minutes.len()).unwrap(), number);
    assert!(
        minutes
            .iter()
            .all(|(_, counts)| (counts.good, counts.bad) == (600, 2))
    );
    assert!(took < Duration::from_millis(500), "{took:?}");
}

pub(super) async fn a_month_before_the_first_report_has_no_service_level(bench: Bench) {
    let account = bench.account("acme").await;
    let service = async || {
        let landed = Landed::EVER;
        let facts = bench.store.facts(account.ledger, november(), false, landed).await;
        facts.unwrap().service.map(|service| service.minutes.len())
    };
    assert_eq!(service().await, None);
    take(
        &bench.store,
        "acme",
        vec![minute("a", "2026-12-03T00:00:00Z", 1, 0)],
    )
    .await;
    assert_eq!(service().await, None, "gateways were started later");
    take(
        &bench.store,
        "acme",
        vec![minute("a", "2026-10-03T00:00:00Z", 1, 0)],
    )
    .await;
    assert_eq!(
        service().await,
        Some(0),
        "they were there, and were silent all the month"
    );
}

pub(super) async fn where_months_end_within_an_hour_the_minutes_after_are_of_the_next(bench: Bench) {
    let account = bench.account("acme").await;
    // November in Kolkata.
    let bounds = Bounds {
        start: at("2026-10-31T18:30:00Z"),
        end: at("2026-11-30T18:30:00Z"),
    };
    let known = async |time: &str| {
        take(&bench.store, "acme", vec![minute("a", time, 1, 0)]).await;
        let facts = bench.store.facts(account.ledger, bounds, false, Landed::EVER);
        let service = facts.await.unwrap().service;
        let last = bench
            .store
            .last_minute(account.ledger, bounds.end, Landed::EVER)
            .await;
        (
            service.map(|service| service.minutes.len()),
            last.unwrap().map(|(minute, _)| minute),
        )
    };
    assert_eq!(
        known("2026-11-30T18:30:00Z").await,
        (None, None),
        "the next month's"
    );
    let before = "2026-10-31T18:29:00Z";
    assert_eq!(known(before).await, (Some(0), Some(at(before))));
    let within = "2026-11-30T18:29:00Z";
    assert_eq!(known(within).await, (Some(1), Some(at(within))));
}

pub(super) async fn a_uid_of_another_name_reports_no_minutes(bench: Bench) {
    bench.register("acme").await;
    let peer = PeerIdentity::tenant(&TenantId::parse("other").unwrap(), TenantRole::Gateway);
    let foreign = report_by(
        &peer,
        "other",
        uid("acme"),
        vec![minute("a", "2026-11-11T00:00:00Z", 1, 0)],
    );
    assert_eq!(bench.store.take_minutes(&foreign).await.unwrap(), None);
    assert_eq!(service(&bench, "acme").await, []);
}

fn maintenance(from: &str, to: &str) -> NewExclusion {
    NewExclusion {
        from: at(from),
        to: at(to),
        reason: "停机维护".into(),
        approver: "ops".into(),
    }
}

pub(super) async fn an_exclusion_is_recorded_listed_and_revoked(bench: Bench) {
    let ledger = bench.register("acme").await.ledger;
    let other = bench.register("other").await.ledger;
    let within = maintenance("2026-11-03T18:00:00Z", "2026-11-03T20:00:00Z");
    let outside = maintenance("2026-10-31T15:00:00Z", "2026-10-31T16:00:00Z");
    let ExclusionOutcome::Done(id) = bench.store.exclude(ledger, &within, now()).await.unwrap() else {
        panic!("refused")
    };
    bench.store.exclude(ledger, &outside, now()).await.unwrap();
    let listed = bench.store.exclusions(ledger, &november()).await.unwrap();
    assert_eq!(
        listed.len(),
        1,
        "one that ends where the period begins is not within it"
    );
    assert_eq!((listed[0].id, &listed[0].exclusion), (id, &within));
    let foreign = bench
        .store
        .revoke_exclusion(other, id, "ops", now())
        .await
        .unwrap();
    assert_eq!(foreign, ExclusionOutcome::NotFound);
    let revoked = bench
        .store
        .revoke_exclusion(ledger, id, "boss", now())
        .await
        .unwrap();
    assert_eq!(revoked, ExclusionOutcome::Done(id));
    assert_eq!(bench.store.exclusions(ledger, &november()).await.unwrap(), []);
    let seen = bench
        .store
        .recorded_exclusions(ledger, &november())
        .await
        .unwrap();
    assert_eq!(seen[0].revoked, Some((now(), "boss".to_owned())));
    let again = bench
        .store
        .revoke_exclusion(ledger, id, "boss", now())
        .await
        .unwrap();
    assert_eq!(again, ExclusionOutcome::NotFound);
}

pub(super) async fn no_exclusion_touches_a_period_whose_bill_was_issued(bench: Bench) {
    let account = bench.account("acme").await;
    let ledger = account.ledger;
    let early = maintenance("2026-11-03T18:00:00Z", "2026-11-03T20:00:00Z");
    let ExclusionOutcome::Done(id) = bench.store.exclude(ledger, &early, now()).await.unwrap() else {
        panic!("refused")
    };
    issue(&bench.store, &account, november_period(), now())
        .await
        .unwrap();
    let revoked = bench
        .store
        .revoke_exclusion(ledger, id, "ops", now())
        .await
        .unwrap();
    assert!(matches!(revoked, ExclusionOutcome::Issued(_)), "{revoked:?}");
    // The period is `[2026-10-31T16:00Z, 2026-11-30T16:00Z)`.
    for (from, to, refused) in [
        ("2026-11-05T18:00:00Z", "2026-11-05T20:00:00Z", true),
        ("2026-11-30T15:59:59Z", "2026-11-30T20:00:00Z", true),
        ("2026-10-31T15:00:00Z", "2026-10-31T16:00:01Z", true),
        ("2026-10-01T00:00:00Z", "2026-12-31T00:00:00Z", true),
        ("2026-11-30T16:00:00Z", "2026-11-30T20:00:00Z", false),
        ("2026-10-31T15:00:00Z", "2026-10-31T16:00:00Z", false),
    ] {
        let outcome = bench
            .store
            .exclude(ledger, &maintenance(from, to), now())
            .await
            .unwrap();
        assert_eq!(
            matches!(outcome, ExclusionOutcome::Issued(_)),
            refused,
            "{from} {outcome:?}"
        );
    }
    assert_eq!(
        bench.store.exclusions(ledger, &november()).await.unwrap().len(),
        1
    );
}
