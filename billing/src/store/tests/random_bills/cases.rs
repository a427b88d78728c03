//! Random plans, usage and service minutes.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::service_level::hour::Counts;

/// Plans with what happened in and around a month.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// The month's first date.
    pub(super) month: Date,
    /// Each with the first local date for which it was assigned, in that order; the first one since before the month, or since
    /// the contract began. Of several for one date the last counts. All of one currency, each in a zone of its own.
    pub(super) plans: Vec<(Date, Value)>,
    pub(super) events: Vec<CaseEvent>,
    /// Modules that were taken (`true`) or dropped, each at an instant of its own, in the order of time.
    pub(super) modules: Vec<(Timestamp, &'static str, bool)>,
    /// Each minute once.
    pub(super) minutes: Vec<(Timestamp, Counts)>,
    /// (from, to) of what was left out of the service level.
    pub(super) exclusions: Vec<(Timestamp, Timestamp)>,
    /// When the contract began.
    pub(super) registered: Timestamp,
    /// When it ended.
    pub(super) closed: Option<Timestamp>,
}

impl Case {
    /// The month after it.
    pub(super) fn next_month(&self) -> Date {
        self.month.checked_add(1.month()).unwrap()
    }
}

/// An event.
#[derive(Clone, Debug)]
pub(super) struct CaseEvent {
    pub(super) time: Timestamp,
    pub(super) meter: &'static str,
    pub(super) quantity: String,
    pub(super) dimensions: BTreeMap<&'static str, &'static str>,
}

/// Months in which clocks are put forward or back in one of the zones, one that begins in the year before it, and one with a
/// leap day.
const MONTHS: [(i16, i8); 6] = [(2026, 10), (2026, 11), (2027, 1), (2027, 3), (2027, 4), (2028, 2)];
const ZONES: [&str; 7] = [
    "Europe/Berlin",
    "Asia/Shanghai",
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/St_Johns",
];
const METERS: [&str; 2] = ["interactions", "conversations"];
const OUTCOMES: [&str; 3] = ["resolved", "handed_off", "abandoned"];

const MODULES: [&str; 2] = ["module-0", "module-1"];
/// Before the contract of most cases no event happens.
const LONG_BEFORE: i64 = -31;

pub(super) fn case() -> impl Strategy<Value = Case> {
    prop::sample::select(&MONTHS[..]).prop_flat_map(|(year, month)| {
        let month = date(year, month, 1);
        let happened = (
            prop::collection::vec(event(month), 0..40),
            modules(month),
            service(month),
        );
        (plans(month), contract(month), happened).prop_map(move |(mut plans, contract, happened)| {
            let (registered, closed) = contract;
            let (events, modules, (minutes, exclusions)) = happened;
            // A change of plan needs an account, in any zone.
            let changes_from = TimeZone::UTC.to_datetime(registered).date() + 2.days();
            let mut is_first = true;
            plans.retain(|(from, _)| std::mem::take(&mut is_first) || *from >= changes_from);
            Case {
                month,
                plans,
                events,
                modules,
                minutes,
                exclusions,
                registered,
                closed,
            }
        })
    })
}

/// An instant: this long after midnight of the date in UTC.
fn after(date: Date, seconds: i64) -> Timestamp {
    date.to_zoned(TimeZone::UTC).unwrap().timestamp() + SignedDuration::from_secs(seconds)
}

/// Half of the cases have no change. Changes also fall on the first of a month, and outside the month.
fn plans(month: Date) -> impl Strategy<Value = Vec<(Date, Value)>> {
    let days = prop_oneof![4 => -3_i64..34, 1 => prop::sample::select(vec![0_i64, 1, 30, 31])];
    let changes = prop::collection::vec((days, plan()), 1..4);
    let changes = prop_oneof![Just(Vec::new()), changes];
    (plan(), changes).prop_map(move |(first, mut changes)| {
        changes.sort_by_key(|(day, _)| *day);
        let currency = first["currency"].clone();
        let mut plans = vec![(month + LONG_BEFORE.days(), first)];
        for (day, mut plan) in changes {
            plan["currency"] = currency.clone();
            plans.push((month + day.days(), plan));
        }
        plans
    })
}

/// When the contract began and ended: mostly outside the month.
fn contract(month: Date) -> impl Strategy<Value = (Timestamp, Option<Timestamp>)> {
    let some_time = -86_400_i64..33 * 86_400;
    let begins = prop_oneof![2 => Just(LONG_BEFORE * 86_400), 1 => some_time];
    let lasts = prop_oneof![2 => Just(None), 1 => (1_i64..40 * 86_400).prop_map(Some)];
    (begins, lasts).prop_map(move |(begins, lasts)| {
        let begins_within = begins.max(-2 * 86_400);
        let ends = lasts.map(|lasts| after(month, begins_within + lasts));
        (after(month, begins), ends)
    })
}

fn decimal(most: u32, places: u32) -> impl Strategy<Value = String> {
    let unit = 10_u32.pow(places);
    (0..=most * unit).prop_map(move |value| {
        let width = usize::try_from(places).unwrap();
        match places {
            0 => value.to_string(),
            _ => format!("{}.{:0width$}", value / unit, value % unit),
        }
    })
}

fn plan() -> impl Strategy<Value = Value> {
    let head = (
        prop::sample::select(&ZONES[..]),
        prop::sample::select(&["CNY", "JPY", "KWD"][..]),
    );
    let whole = (
        prop::option::of(decimal(30, 1)),
        prop::option::of((decimal(200, 2), decimal(300, 2))),
        prop::option::of((decimal(20, 2), any::<bool>())),
        prop::option::of((
            prop::option::of(availability()),
            prop::option::of(response_time()),
        )),
    );
    let parts = (
        prop::collection::vec(charge(), 1..4),
        prop::collection::vec(surcharge(), 0..3),
        prop::collection::vec(decimal(50, 3), 0..3),
    );
    (head, parts, whole).prop_map(|((zone, currency), (charges, surcharges, fees), whole)| {
        let (discount, bounds, tax, service_level) = whole;
        let number = charges.len();
        let named = |prefix: &str, items: Vec<Value>| -> Vec<Value> {
            let named = items.into_iter().enumerate().map(|(position, mut item)| {
                item["name"] = json!(format!("{prefix}-{position}"));
                item
            });
            named.collect()
        };
        let surcharges = surcharges.into_iter().map(|(charge, mut surcharge)| {
            surcharge["charge"] = json!(format!("charge-{}", charge % number));
            surcharge
        });
        let mut plan = json!({
            "currency": currency, "timeZone": zone,
            "charges": named("charge", charges),
            "surcharges": named("surcharge", surcharges.collect()),
            "calendars": {"shopping": ["2026-11-11", "2026-10-25", "2027-01-01", "2027-03-28", "2028-02-29"]},
            "modules": named("module", fees.into_iter().map(|fee| json!({"monthlyFee": fee})).collect()),
        });
        if let Some(percent) = discount {
            plan["discount"] = json!({"percent": percent});
        }
        if let Some((one, other)) = bounds {
            let is_less = one.parse::<rust_decimal::Decimal>().unwrap() < other.parse().unwrap();
            let (low, high) = if is_less { (one, other) } else { (other, one) };
            plan["minimumCommitment"] = json!(low);
            plan["cap"] = json!(high);
        }
        if let Some((percent, inclusive)) = tax {
            plan["tax"] = json!({"name": "VAT", "percent": percent, "inclusive": inclusive});
        }
        if let Some((availability, response_time)) = service_level {
            plan["sla"] = json!({});
            if let Some(availability) = availability {
                plan["sla"]["availability"] = availability;
            }
            if let Some(response_time) = response_time {
                plan["sla"]["responseTime"] = response_time;
            }
        }
        plan
    })
}

fn charge() -> impl Strategy<Value = Value> {
    let filter = prop_oneof![
        Just(json!({})),
        prop::sample::select(&OUTCOMES[..]).prop_map(|outcome| json!({"outcome": outcome})),
        Just(json!({"outcome": ["resolved", "abandoned"]})),
    ];
    let model = prop_oneof![
        decimal(3, 4).prop_map(|price| json!({"model": "PerUnit", "unitPrice": price})),
        tiers().prop_map(|tiers| json!({"model": "Graduated", "tiers": tiers})),
        tiers().prop_map(|tiers| json!({"model": "Volume", "tiers": tiers})),
        (decimal(20, 1), decimal(5, 3)).prop_map(|(size, price)| {
            let size = if size == "0.0" { "0.5".to_owned() } else { size };
            json!({"model": "Package", "size": size, "price": price})
        }),
    ];
    let meter = prop::sample::select(&METERS[..]);
    (model, meter, filter, decimal(20, 2)).prop_map(|(mut charge, meter, filter, included)| {
        charge["meter"] = json!(meter);
        charge["where"] = filter;
        charge["included"] = json!(included);
        charge
    })
}

fn tiers() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec((1_u32..400, decimal(3, 4), decimal(9, 3)), 1..5).prop_map(|steps| {
        let last = steps.len() - 1;
        let mut bound = 0;
        let tier = |(position, (step, price, fee)): (usize, (u32, String, String))| {
            bound += step;
            let mut tier = json!({"unitPrice": price, "flatFee": fee});
            if position < last {
                tier["upTo"] = json!(format!("{}.{}", bound / 10, bound % 10));
            }
            tier
        };
        steps.into_iter().enumerate().map(tier).collect()
    })
}

fn surcharge() -> impl Strategy<Value = (usize, Value)> {
    let quarter = |quarter: u32| format!("{:02}:{:02}", quarter / 4, quarter % 4 * 15);
    let window = prop_oneof![
        Just(json!({"calendar": "shopping"})),
        Just(json!({"days": ["Sat", "Sun"], "from": "20:00", "to": "24:00"})),
        Just(json!({"dates": ["2026-11-01", "2026-10-25", "2028-02-29"], "calendar": "shopping"})),
        (0_u32..96, 1_u32..96).prop_map(move |(from, more)| {
            json!({"from": quarter(from), "to": quarter((from + more).min(96))})
        }),
    ];
    let windows = prop::collection::vec(window, 1..4);
    (0_usize..8, decimal(1, 4), windows)
        .prop_map(|(charge, price, windows)| (charge, json!({"unitPrice": price, "windows": windows})))
}

fn credits() -> impl Strategy<Value = Vec<Value>> {
    let rows = vec![
        ("99.9", "10"),
        ("97", "25.5"),
        ("90", "30"),
        ("60", "40"),
        ("20", "100"),
    ];
    prop::sample::subsequence(rows, 0..6).prop_map(|rows| {
        rows.iter()
            .map(|(below, percent)| json!({"below": below, "percent": percent}))
            .collect()
    })
}

fn availability() -> impl Strategy<Value = Value> {
    let slice = prop::sample::select(&["60m", "360m", "7m", "720m", "1440m"][..]);
    let no_data = prop::sample::select(&["Up", "Down", "Exclude"][..]);
    (
        credits(),
        slice,
        no_data,
        0_u64..30,
        decimal(1, 2),
        decimal(100, 0),
    )
        .prop_map(|(rows, slice, no_data, minimum, bad_share, cap)| {
            let bad_share = if bad_share.starts_with('1') {
                "1".to_owned()
            } else {
                bad_share
            };
            json!({"objective": "99.9", "slice": slice, "badShare": bad_share, "minimumRequests": minimum,
                "noData": no_data, "credits": rows, "creditCap": cap})
        })
}

fn response_time() -> impl Strategy<Value = Value> {
    (credits(), decimal(100, 0))
        .prop_map(|(rows, cap)| json!({"within": "1s", "credits": rows, "creditCap": cap}))
}

/// Seconds from the month's first midnight in UTC that lie at a border in some zone: beginnings of months, clocks that are
/// put forward or back.
fn borders(month: Date) -> Vec<i64> {
    let next = month.checked_add(1.month()).unwrap();
    let midnight = after(month, 0);
    let mut borders = Vec::new();
    for name in ZONES {
        let zone = TimeZone::get(name).unwrap();
        let begins = |date: Date| date.to_zoned(zone.clone()).unwrap().timestamp();
        borders.extend([begins(month), begins(next)]);
        let changes = zone.following(begins(month)).map(|change| change.timestamp());
        borders.extend(changes.take_while(|change| *change < begins(next)));
    }
    let seconds = borders
        .iter()
        .map(|border| border.as_second() - midnight.as_second());
    seconds.collect()
}

/// From two days before the month to two days after it in any zone, and to the nanosecond.
fn event(month: Date) -> impl Strategy<Value = CaseEvent> {
    let second = -2 * 86_400_i64..33 * 86_400;
    let near = prop::sample::select(borders(month));
    let offset = prop_oneof![4 => second, 1 => (near, -1_i64..=1).prop_map(|(near, step)| near + step)];
    let outcome = prop::option::of(prop::sample::select(&OUTCOMES[..]));
    (
        offset,
        0_i32..1_000_000_000,
        prop::sample::select(&METERS[..]),
        decimal(30, 3),
        outcome,
    )
        .prop_map(move |(second, nanos, meter, quantity, outcome)| CaseEvent {
            time: after(month, second) + SignedDuration::new(0, nanos),
            meter,
            quantity,
            dimensions: outcome.map(|outcome| ("outcome", outcome)).into_iter().collect(),
        })
}

fn modules(month: Date) -> impl Strategy<Value = Vec<(Timestamp, &'static str, bool)>> {
    let change = (prop::sample::select(&MODULES[..]), any::<bool>());
    let changes = prop::collection::btree_map(-5 * 86_400_i64..33 * 86_400, change, 0..5);
    prop_oneof![Just(BTreeMap::new()), changes].prop_map(move |changes| {
        let change = |(second, (module, active))| (after(month, second), module, active);
        changes.into_iter().map(change).collect()
    })
}

type Minutes = BTreeMap<i64, Counts>;
type Spans = Vec<(Timestamp, Timestamp)>;

/// Minutes with what was left out of them. Half of the cases report something every six hours, so that what is left out, what
/// went wrong for days, and where the contract ends all tell on the credit.
fn service(month: Date) -> impl Strategy<Value = (Vec<(Timestamp, Counts)>, Spans)> {
    let at = move |minute: i64| after(month, 60 * minute);
    let steady = prop::option::of((0_i64..360, 0_i64..44_640, 1_i64..4_320));
    (sparse_minutes(), steady, exclusions(month)).prop_map(move |(sparse, steady, exclusions)| {
        let mut minutes = Minutes::new();
        if let Some((offset, wrong_from, wrong_for)) = steady {
            let is_excluded = |minute| {
                exclusions
                    .iter()
                    .any(|(from, to)| (*from..*to).contains(&at(minute)))
            };
            for minute in (-2_880 + offset..47_520).step_by(360) {
                let is_wrong = (wrong_from..wrong_from + wrong_for).contains(&minute);
                minutes.insert(minute, steady_counts(is_wrong || is_excluded(minute)));
            }
        }
        minutes.extend(sparse);
        let minutes = minutes.into_iter().map(|(minute, counts)| (at(minute), counts));
        (minutes.collect(), exclusions)
    })
}

fn steady_counts(is_wrong: bool) -> Counts {
    let (good, bad, fast) = if is_wrong { (2, 38, 0) } else { (40, 0, 40) };
    Counts {
        good,
        bad,
        fast,
        slow: good - fast,
    }
}

fn sparse_minutes() -> impl Strategy<Value = Minutes> {
    let counts = (0_u64..40, 0_u64..8, 0_u64..40).prop_map(|(good, bad, fast)| {
        let fast = fast.min(good);
        Counts {
            good,
            bad,
            fast,
            slow: good - fast,
        }
    });
    prop::collection::btree_map(-2_880_i64..47_520, counts, 0..30)
}

/// Of some length, also in the middle of minutes.
fn exclusions(month: Date) -> impl Strategy<Value = Spans> {
    let one = (-86_400_i64..32 * 86_400, 1_i64..2 * 86_400);
    let spans = prop::collection::vec(one, 0..3);
    prop_oneof![Just(Vec::new()), spans].prop_map(move |spans| {
        let span = |(from, length)| (after(month, from), after(month, from + length));
        spans.into_iter().map(span).collect()
    })
}
