use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::digest::Digest;
use crate::pdf::sample::details;
use crate::store::PlanVersion;

const ZONES: [&str; 7] = [
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "America/St_Johns",
    "UTC",
];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn account() -> Account {
    Account {
        ledger: 1,
        details: details(),
        registered_at: at("2026-01-05T00:00:00Z"),
        closed_at: None,
        entity: crate::store::LegalEntity::default(),
    }
}

fn assigned(plan: &str, from: Date) -> PlanAssignment {
    PlanAssignment {
        plan: plan.to_owned(),
        from,
        recorded_at: Timestamp::UNIX_EPOCH,
        recorded_by: "operator".into(),
    }
}

/// A plan for each zone, of its name.
fn plans() -> KnownPlans {
    let known = |zone: &&str| {
        let spec = format!(r#"{{"charges":[],"currency":"CNY","timeZone":"{zone}"}}"#);
        let version = PlanVersion {
            name: (*zone).to_owned(),
            uid: "u".into(),
            generation: 1,
            digest: Digest::of(spec.as_bytes()),
            spec,
        };
        let known = Arc::new(KnownPlan::of(version).unwrap());
        ((*zone).to_owned(), Some(known))
    };
    ZONES.iter().map(known).collect()
}

fn schedule(recorded: &[PlanAssignment]) -> Schedule {
    Schedule::new(&account(), recorded, &plans(), BTreeMap::new())
}

fn month(text: &str) -> Period {
    text.parse().unwrap()
}

fn parts_of(schedule: &Schedule, period: &str) -> Vec<(String, String, String)> {
    let parts = schedule.parts(month(period)).unwrap();
    let shown = |part: &PlanPart| {
        let Bounds { start, end } = part.bounds;
        (
            part.known.version.name.clone(),
            start.to_string(),
            end.to_string(),
        )
    };
    parts.iter().map(shown).collect()
}

fn part(plan: &str, from: &str, to: &str) -> (String, String, String) {
    (plan.to_owned(), from.to_owned(), to.to_owned())
}

#[test]
fn a_change_counts_from_the_local_midnight_after_it_in_the_zone_of_the_plan_that_it_is_to() {
    let registered = [assigned("Asia/Shanghai", date(2026, 1, 5))];
    for (zone, now, expected) in [
        ("Europe/Berlin", "2026-11-15T20:00:00Z", date(2026, 11, 16)),
        // In Shanghai the sixteenth has begun.
        ("Asia/Shanghai", "2026-11-15T20:00:00Z", date(2026, 11, 17)),
        // At midnight itself a new day has begun.
        ("Asia/Shanghai", "2026-11-15T16:00:00Z", date(2026, 11, 17)),
        (
            "Asia/Shanghai",
            "2026-11-15T15:59:59.999999999Z",
            date(2026, 11, 16),
        ),
    ] {
        let zone = zone_named(zone).unwrap();
        let first = first_date_of_change(&registered, |_| true, &zone, at(now));
        assert_eq!(first, expected, "{now}");
    }
    let zone = zone_named("Asia/Shanghai").unwrap();
    let first = first_date_of_change(&[], |_| true, &zone, at("2026-11-15T20:00:00Z"));
    assert_eq!(
        first,
        date(2026, 11, 16),
        "the first one from the day on which it is made"
    );
}

#[test]
fn what_takes_the_place_of_plans_that_billing_does_not_know_counts_from_where_they_did() {
    let recorded = [
        assigned("known", date(2026, 11, 1)),
        assigned("tpyo", date(2026, 11, 5)),
        assigned("other tpyo", date(2026, 11, 9)),
    ];
    let (zone, now) = (TimeZone::UTC, at("2026-11-12T10:00:00Z"));
    let of = |is_known: &dyn Fn(&str) -> bool| first_date_of_change(&recorded, is_known, &zone, now);
    assert_eq!(of(&|name| name == "known"), date(2026, 11, 5));
    assert_eq!(of(&|name| name != "other tpyo"), date(2026, 11, 9));
    assert_eq!(of(&|_| true), date(2026, 11, 13));
    assert_eq!(of(&|_| false), date(2026, 11, 1));
}

#[test]
fn of_several_changes_on_a_day_the_last_one_counts() {
    let recorded = [
        assigned("UTC", date(2026, 1, 5)),
        assigned("Europe/Berlin", date(2026, 11, 16)),
        assigned("Asia/Shanghai", date(2026, 11, 16)),
    ];
    let names = |recorded: &[PlanAssignment]| -> Vec<String> {
        standing(recorded).iter().map(|one| one.plan.clone()).collect()
    };
    assert_eq!(names(&recorded), ["UTC", "Asia/Shanghai"]);
    let mut and_back = recorded.to_vec();
    and_back.push(assigned("UTC", date(2026, 11, 16)));
    assert_eq!(names(&and_back), ["UTC"], "nothing changes");
    let schedule = schedule(&and_back);
    assert_eq!(
        parts_of(&schedule, "2026-11"),
        [part("UTC", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")]
    );
}

#[test]
fn a_month_has_a_part_for_each_plan_from_midnight_in_its_zone() {
    let schedule = schedule(&[
        assigned("Asia/Shanghai", date(2026, 1, 5)),
        assigned("Europe/Berlin", date(2026, 11, 16)),
        assigned("America/New_York", date(2026, 12, 1)),
    ]);
    assert_eq!(
        parts_of(&schedule, "2026-11"),
        [
            part("Asia/Shanghai", "2026-10-31T16:00:00Z", "2026-11-15T23:00:00Z"),
            part("Europe/Berlin", "2026-11-15T23:00:00Z", "2026-12-01T05:00:00Z")
        ],
        "it ends where December begins, in the zone of the plan that is in force then"
    );
    assert_eq!(
        parts_of(&schedule, "2026-12"),
        [part(
            "America/New_York",
            "2026-12-01T05:00:00Z",
            "2027-01-01T05:00:00Z"
        )]
    );
    for (instant, expected) in [
        ("2026-12-01T04:59:59Z", "2026-11"),
        ("2026-12-01T05:00:00Z", "2026-12"),
        ("2026-10-31T16:00:00Z", "2026-11"),
        ("2026-10-31T15:59:59Z", "2026-10"),
    ] {
        assert_eq!(
            schedule.containing(at(instant)).unwrap(),
            month(expected),
            "{instant}"
        );
    }
}

#[test]
fn a_plan_that_billing_does_not_know_stops_the_months_that_it_prices_and_no_others() {
    let schedule = schedule(&[
        assigned("UTC", date(2026, 1, 5)),
        assigned("tpyo", date(2026, 11, 16)),
        assigned("Europe/Berlin", date(2026, 11, 20)),
    ]);
    assert!(schedule.parts(month("2026-10")).is_ok() && schedule.parts(month("2026-12")).is_ok());
    let said = schedule.parts(month("2026-11")).unwrap_err().to_string();
    assert!(said.contains("tpyo"), "{said}");
}

#[test]
fn only_plans_of_the_same_month_share_a_bill() {
    let recorded = [
        assigned("one", date(2026, 1, 5)),
        assigned("two", date(2026, 11, 1)),
        assigned("three", date(2026, 11, 9)),
        assigned("later", date(2026, 11, 20)),
    ];
    let others = |from| others_of_month(&recorded, from);
    assert_eq!(others(date(2026, 11, 12)), ["two", "three"]);
    assert_eq!(others(date(2026, 12, 2)), ["later"]);
    assert_eq!(others(date(2026, 12, 1)), [""; 0], "another month");
    assert_eq!(others_of_month(&[], date(2026, 11, 12)), [""; 0]);
}

/// Assignments over some months, as they were recorded.
fn recorded() -> impl Strategy<Value = Vec<PlanAssignment>> {
    let one = (0_i64..100, prop::sample::select(&ZONES[..]));
    prop::collection::vec(one, 1..7).prop_map(|changes| {
        let first = date(2026, 9, 1);
        let one = |(day, zone): (i64, &str)| assigned(zone, first.checked_add(day.days()).unwrap());
        changes.into_iter().map(one).collect()
    })
}

proptest! {
    #[test]
    fn every_instant_is_priced_in_one_month_by_one_plan_whatever_was_changed_and_billed_before(
        recorded in recorded(),
        billed in prop::collection::vec((0_usize..6, 0_usize..7), 0..3),
    ) {
        let months: Vec<_> = ["2026-08", "2026-09", "2026-10", "2026-11", "2026-12", "2027-01"].map(month).into();
        // Bills that were issued when less was recorded.
        let mut bounds = BTreeMap::new();
        for (position, known) in billed {
            let known = &recorded[..known.clamp(1, recorded.len())];
            let then = Schedule::new(&account(), known, &plans(), bounds.clone());
            bounds.insert(months[position], then.bounds(months[position]).unwrap());
        }
        let schedule = Schedule::new(&account(), &recorded, &plans(), bounds.clone());
        let mut end = schedule.bounds(months[0]).unwrap().start;
        for period in months {
            let within = schedule.bounds(period).unwrap();
            prop_assert_eq!(within.start, end, "{} adjoins the month before", period);
            prop_assert!(bounds.get(&period).is_none_or(|billed| *billed == within));
            for part in schedule.parts(period).unwrap() {
                prop_assert_eq!(part.bounds.start, end, "no instant is lost or priced twice");
                end = part.bounds.end;
                for instant in [part.bounds.start, part.bounds.middle()] {
                    prop_assert_eq!(schedule.containing(instant).unwrap(), period);
                    let plan = schedule.plan_at(instant).unwrap();
                    prop_assert_eq!(&plan.version.name, &part.known.version.name);
                }
            }
            prop_assert_eq!(end, within.end);
        }
    }
}
