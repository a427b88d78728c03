//! Random plans, usage and service minutes.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Plans with what happened in and around November 2026.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// Each with the first local date for which it was assigned, in that order; the first one since October. Of several for
    /// one date the last counts. All of one currency, each in a zone of its own.
    pub(super) plans: Vec<(Date, Value)>,
    pub(super) events: Vec<CaseEvent>,
    /// (minute, good, bad), each minute once.
    pub(super) minutes: Vec<(Timestamp, u64, u64)>,
}

/// An event.
#[derive(Clone, Debug)]
pub(super) struct CaseEvent {
    pub(super) time: Timestamp,
    pub(super) meter: &'static str,
    pub(super) quantity: String,
    pub(super) dimensions: BTreeMap<&'static str, &'static str>,
}

const ZONES: [&str; 6] = [
    "Asia/Shanghai",
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/St_Johns",
];
const METERS: [&str; 2] = ["interactions", "conversations"];
const OUTCOMES: [&str; 3] = ["resolved", "handed_off", "abandoned"];

pub(super) fn case() -> impl Strategy<Value = Case> {
    (plans(), prop::collection::vec(event(), 0..40), minutes()).prop_map(|(plans, events, minutes)| Case {
        plans,
        events,
        minutes,
    })
}

/// Half of the cases have no change. Changes also fall on the first of a month, and outside November.
fn plans() -> impl Strategy<Value = Vec<(Date, Value)>> {
    let days = prop_oneof![4 => -3_i64..34, 1 => prop::sample::select(vec![0_i64, 1, 30])];
    let changes = prop::collection::vec((days, plan()), 1..4);
    let changes = prop_oneof![Just(Vec::new()), changes];
    (plan(), changes).prop_map(|(first, mut changes)| {
        changes.sort_by_key(|(day, _)| *day);
        let currency = first["currency"].clone();
        let mut plans = vec![(date(2026, 10, 1), first)];
        for (day, mut plan) in changes {
            plan["currency"] = currency.clone();
            plans.push((date(2026, 11, 1).checked_add(day.days()).unwrap(), plan));
        }
        plans
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
        prop::sample::select(&["CNY", "JPY"][..]),
    );
    let whole = (
        prop::option::of(decimal(30, 1)),
        prop::option::of((decimal(200, 2), decimal(300, 2))),
        prop::option::of((decimal(20, 2), any::<bool>())),
        prop::option::of(service_level()),
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
            "calendars": {"shopping": ["2026-11-11", "2026-11-27"]},
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
        if let Some(availability) = service_level {
            plan["sla"] = json!({"availability": availability});
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
        Just(json!({"dates": ["2026-11-01", "2026-11-30"], "calendar": "shopping"})),
        (0_u32..96, 1_u32..96).prop_map(move |(from, more)| {
            json!({"from": quarter(from), "to": quarter((from + more).min(96))})
        }),
    ];
    let windows = prop::collection::vec(window, 1..4);
    (0_usize..8, decimal(1, 4), windows)
        .prop_map(|(charge, price, windows)| (charge, json!({"unitPrice": price, "windows": windows})))
}

fn service_level() -> impl Strategy<Value = Value> {
    let rows = prop::sample::subsequence(
        vec![("99.9", "10"), ("99", "25.5"), ("60", "30"), ("20", "100")],
        0..4,
    );
    let slice = prop::sample::select(&["60m", "360m", "7m", "1440m"][..]);
    let no_data = prop::sample::select(&["Up", "Down", "Exclude"][..]);
    (rows, slice, no_data, 0_u64..30, decimal(1, 2), decimal(100, 0)).prop_map(
        |(rows, slice, no_data, minimum, bad_share, cap)| {
            let bad_share = if bad_share.starts_with('1') {
                "1".to_owned()
            } else {
                bad_share
            };
            let rows: Vec<_> = rows
                .iter()
                .map(|(below, percent)| json!({"below": below, "percent": percent}))
                .collect();
            json!({"objective": "99.9", "slice": slice, "badShare": bad_share, "minimumRequests": minimum,
                "noData": no_data, "credits": rows, "creditCap": cap})
        },
    )
}

fn event() -> impl Strategy<Value = CaseEvent> {
    // From two days before November to two days after it in any zone, and to the nanosecond.
    let second = -2 * 86_400_i64..32 * 86_400;
    let near = prop::sample::select(vec![
        -39_600_i64,
        -28_800,
        0,
        14_400,
        18_000,
        2_592_000 - 28_800,
        2_592_000 + 18_000,
    ]);
    let offset = prop_oneof![4 => second, 1 => (near, -1_i64..=1).prop_map(|(near, step)| near + step)];
    let outcome = prop::option::of(prop::sample::select(&OUTCOMES[..]));
    (
        offset,
        0_i32..1_000_000_000,
        prop::sample::select(&METERS[..]),
        decimal(30, 3),
        outcome,
    )
        .prop_map(|(second, nanos, meter, quantity, outcome)| CaseEvent {
            time: "2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::new(second, nanos),
            meter,
            quantity,
            dimensions: outcome.map(|outcome| ("outcome", outcome)).into_iter().collect(),
        })
}

fn minutes() -> impl Strategy<Value = Vec<(Timestamp, u64, u64)>> {
    let some = prop::collection::btree_map(-2_880_i64..46_080, (0_u64..40, 0_u64..8), 0..60);
    let first: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    some.prop_map(move |minutes| {
        let minute = |(minute, (good, bad))| (first + SignedDuration::from_mins(minute), good, bad);
        minutes.into_iter().map(minute).collect()
    })
}
