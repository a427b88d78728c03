//! The plan's meaning computed again, from its text alone: event by event and minute by minute, in fractions, with nothing
//! of the product's rating, buckets or tables. Slow, and short enough to be read against the contract.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::cases::{Case, CaseEvent};

/// A plan with the time that it prices.
struct Priced<'a> {
    plan: &'a Value,
    zone: TimeZone,
    start: Timestamp,
    end: Timestamp,
}

/// (kind, amount in smallest units), in order; the total.
pub(super) fn bill(case: &Case) -> (Vec<(String, i128)>, i128) {
    let parts = parts(case);
    let (start, end) = (parts[0].start, parts[parts.len() - 1].end);
    let mut lines: Vec<(String, i128)> = Vec::new();
    for part in &parts {
        let share = Fraction::new(seconds(part.start, part.end), seconds(start, end));
        lines.extend(fees(case, part, share));
    }
    let plan = parts[parts.len() - 1].plan;
    let exponent = if plan["currency"] == "JPY" { 0 } else { 2 };
    if let Some(percent) = credit(case, &plan["sla"]["availability"], start, end) {
        lines.push((
            "credit".into(),
            -(money(&lines, exponent) * percent * Fraction::new(1, 100)).rounded(exponent),
        ));
    }
    let mut total: i128 = lines.iter().map(|(_, amount)| amount).sum();
    if plan["tax"].is_object() {
        let percent = fraction(&plan["tax"]["percent"]);
        let inclusive = plan["tax"]["inclusive"] == true;
        let of = if inclusive {
            Fraction::new(100, 1) + percent
        } else {
            Fraction::new(100, 1)
        };
        let tax = (money(&lines, exponent) * percent * of.inverse()).rounded(exponent);
        total += if inclusive { 0 } else { tax };
        lines.push(("tax".into(), tax));
    }
    (lines, total)
}

/// November in parts: from its first midnight in the zone of the plan of that date, until December's.
fn parts(case: &Case) -> Vec<Priced<'_>> {
    // Of several plans for one date the last.
    let plans: BTreeMap<Date, &Value> = case.plans.iter().map(|(from, plan)| (*from, plan)).collect();
    let zone = |plan: &Value| TimeZone::get(plan["timeZone"].as_str().unwrap()).unwrap();
    let midnight = |date: Date, zone: &TimeZone| date.to_zoned(zone.clone()).unwrap().timestamp();
    let beginning = |month| {
        let first = date(2026, month, 1);
        let (_, plan) = plans.range(..=first).next_back().unwrap();
        midnight(first, &zone(plan))
    };
    let (start, end) = (beginning(11), beginning(12));
    let mut parts: Vec<Priced<'_>> = Vec::new();
    for (from, plan) in plans {
        let zone = zone(plan);
        let begins = midnight(from, &zone).max(start).min(end);
        // East of the plan before it a date may begin before that plan's.
        let begins = parts.last().map_or(start, |before| begins.max(before.start));
        if let Some(before) = parts.last_mut() {
            before.end = begins;
        }
        parts.push(Priced {
            plan,
            zone,
            start: begins,
            end,
        });
    }
    parts.retain(|part| part.start < part.end);
    parts
}

fn seconds(start: Timestamp, end: Timestamp) -> i128 {
    i128::from(end.as_second() - start.as_second())
}

fn money(lines: &[(String, i128)], exponent: u32) -> Fraction {
    let sum = lines.iter().map(|(_, amount)| amount).sum();
    Fraction::new(sum, 1) * Fraction::new(1, 10_i128.pow(exponent))
}

/// What a part costs; `share`: its seconds over those of the month.
fn fees(case: &Case, part: &Priced<'_>, share: Fraction) -> Vec<(String, i128)> {
    let Priced { plan, zone, .. } = part;
    let is_whole = share == Fraction::new(1, 1);
    let exponent = if plan["currency"] == "JPY" { 0 } else { 2 };
    let within: Vec<&CaseEvent> = case
        .events
        .iter()
        .filter(|event| part.start <= event.time && event.time < part.end)
        .collect();
    let mut lines: Vec<(String, i128)> = Vec::new();
    let mut counted = BTreeMap::new();
    for charge in list(plan, "charges") {
        let mine: Vec<_> = within
            .iter()
            .copied()
            .filter(|event| is_meant(charge, event))
            .collect();
        let total = sum(&mine);
        let included = fraction(&charge["included"]);
        let included = if is_whole {
            included
        } else {
            Fraction::new((included * share).rounded(0), 1)
        };
        let billable = (total - included).max(Fraction::ZERO);
        for amount in prices(charge, billable) {
            lines.push(("charge".into(), amount.rounded(exponent)));
        }
        counted.insert(charge["name"].as_str().unwrap(), mine);
    }
    for surcharge in list(plan, "surcharges") {
        let open = |event: &&CaseEvent| {
            list(surcharge, "windows")
                .iter()
                .any(|window| is_open(window, plan, event.time, zone))
        };
        let mine: Vec<_> = counted[surcharge["charge"].as_str().unwrap()]
            .iter()
            .copied()
            .filter(open)
            .collect();
        lines.push((
            "surcharge".into(),
            (sum(&mine) * fraction(&surcharge["unitPrice"])).rounded(exponent),
        ));
    }
    for module in list(plan, "modules") {
        let fee = fraction(&module["monthlyFee"]) * share;
        lines.push(("module".into(), fee.rounded(exponent)));
    }
    let percent = fraction(&plan["discount"]["percent"]);
    if percent != Fraction::ZERO {
        lines.push((
            "discount".into(),
            -(money(&lines, exponent) * percent * Fraction::new(1, 100)).rounded(exponent),
        ));
    }
    if plan["minimumCommitment"].is_string() {
        let minimum = (fraction(&plan["minimumCommitment"]) * share).rounded(exponent);
        let minimum = minimum - money(&lines, exponent).rounded(exponent);
        if minimum > 0 {
            lines.push(("minimum".into(), minimum));
        }
    }
    if plan["cap"].is_string() {
        let cap = (fraction(&plan["cap"]) * share).rounded(exponent);
        let over = cap - money(&lines, exponent).rounded(exponent);
        if over < 0 {
            lines.push(("cap".into(), over));
        }
    }
    lines
}

fn prices(charge: &Value, billable: Fraction) -> Vec<Fraction> {
    let zero = vec![Fraction::ZERO];
    if billable == Fraction::ZERO {
        return zero;
    }
    let tiers = list(charge, "tiers");
    let bound = |tier: &Value| tier["upTo"].is_string().then(|| fraction(&tier["upTo"]));
    match charge["model"].as_str().unwrap() {
        "PerUnit" => vec![billable * fraction(&charge["unitPrice"])],
        "Package" => {
            let packages = billable * fraction(&charge["size"]).inverse();
            vec![
                Fraction::new(
                    packages.0.div_euclid(packages.1) + i128::from(packages.0 % packages.1 != 0),
                    1,
                ) * fraction(&charge["price"]),
            ]
        }
        "Volume" => {
            let tier = tiers
                .iter()
                .find(|tier| bound(tier).is_none_or(|bound| billable <= bound))
                .unwrap();
            vec![billable * fraction(&tier["unitPrice"]) + fraction(&tier["flatFee"])]
        }
        "Graduated" => {
            let mut below = Fraction::ZERO;
            let mut all = Vec::new();
            for tier in tiers {
                let part = bound(tier).unwrap_or(billable).min(billable) - below;
                if part > Fraction::ZERO {
                    all.push(part * fraction(&tier["unitPrice"]) + fraction(&tier["flatFee"]));
                    below = below + part;
                }
            }
            all
        }
        other => panic!("{other}"),
    }
}

/// The percentage that is credited.
fn credit(case: &Case, level: &Value, start: Timestamp, end: Timestamp) -> Option<Fraction> {
    if case.minutes.is_empty() || !level.is_object() {
        return None;
    }
    let length = level["slice"]
        .as_str()
        .unwrap()
        .trim_end_matches('m')
        .parse::<i64>()
        .unwrap()
        * 60;
    let (start, end) = (start.as_second(), end.as_second());
    let (mut good, mut counted) = (0, 0);
    for from in (start..)
        .step_by(usize::try_from(length).unwrap())
        .take_while(|from| from + length <= end)
    {
        let mine: Vec<_> = case
            .minutes
            .iter()
            .filter(|(minute, ..)| (from..from + length).contains(&minute.as_second()))
            .collect();
        let bad: u64 = mine.iter().map(|(_, _, bad)| bad).sum();
        let all: u64 = mine.iter().map(|(_, good, bad)| good + bad).sum();
        let is_good = if mine.is_empty() {
            false
        } else if all == 0 || all < level["minimumRequests"].as_u64().unwrap() {
            match level["noData"].as_str().unwrap() {
                "Exclude" => continue,
                word => word == "Up",
            }
        } else {
            Fraction::new(bad.into(), all.into()) <= fraction(&level["badShare"])
        };
        counted += 1;
        good += i128::from(is_good);
    }
    if counted == 0 {
        return None;
    }
    let percent = Fraction::new(100 * good, counted);
    let rows = list(level, "credits")
        .iter()
        .filter(|row| percent < fraction(&row["below"]));
    let row = rows.min_by(|one, other| fraction(&one["below"]).cmp(&fraction(&other["below"])))?;
    Some(fraction(&row["percent"]).min(fraction(&level["creditCap"])))
}

fn is_meant(charge: &Value, event: &CaseEvent) -> bool {
    let named = charge["where"].as_object().into_iter().flatten();
    event.meter == charge["meter"].as_str().unwrap()
        && named.into_iter().all(|(key, wanted)| {
            let has = event.dimensions.get(key.as_str()).copied().map(Value::from);
            has.is_some_and(|has| {
                *wanted == has || wanted.as_array().is_some_and(|values| values.contains(&has))
            })
        })
}

fn is_open(window: &Value, plan: &Value, time: Timestamp, zone: &TimeZone) -> bool {
    let local = zone.to_datetime(time);
    let (date, clock) = (
        Value::from(local.date().to_string()),
        local.strftime("%H:%M").to_string(),
    );
    let named = |field: &str, value: &Value| window[field].as_array().is_none_or(|all| all.contains(value));
    let calendar = window["calendar"].as_str().map(|name| &plan["calendars"][name]);
    named("days", &Value::from(local.strftime("%a").to_string()))
        && named("dates", &date)
        && calendar.is_none_or(|dates| dates.as_array().unwrap().contains(&date))
        && window["from"].as_str().is_none_or(|from| *from <= *clock)
        && window["to"].as_str().is_none_or(|to| *clock < *to)
}

fn sum(events: &[&CaseEvent]) -> Fraction {
    events.iter().fold(Fraction::ZERO, |sum, event| {
        sum + fraction(&Value::from(event.quantity.as_str()))
    })
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// Of a decimal text; 0 if there is none.
fn fraction(text: &Value) -> Fraction {
    let text = text.as_str().unwrap_or("0");
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let places = u32::try_from(digits.len()).unwrap();
    Fraction::new(format!("{whole}{digits}").parse().unwrap(), 10_i128.pow(places))
}

/// Numerator and denominator, which is above zero, without a common divisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fraction(i128, i128);

impl Fraction {
    const ZERO: Self = Self(0, 1);

    fn new(numerator: i128, denominator: i128) -> Self {
        let (mut one, mut other) = (numerator.abs(), denominator);
        while other != 0 {
            (one, other) = (other, one % other);
        }
        let common = one.max(1);
        Self(numerator / common, denominator / common)
    }

    fn inverse(self) -> Self {
        Self::new(self.1, self.0)
    }

    /// Half away from zero, in units of 10^-`exponent`.
    fn rounded(self, exponent: u32) -> i128 {
        let scaled = self.0 * 10_i128.pow(exponent);
        let away = scaled.signum() * ((2 * scaled.abs() + self.1) / (2 * self.1));
        if scaled == 0 { 0 } else { away }
    }
}

impl std::ops::Add for Fraction {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.0 * other.1 + other.0 * self.1, self.1 * other.1)
    }
}

impl std::ops::Sub for Fraction {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + Self(-other.0, other.1)
    }
}

impl std::ops::Mul for Fraction {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let (one, next) = (Self::new(self.0, other.1), Self::new(other.0, self.1));
        Self::new(one.0 * next.0, one.1 * next.1)
    }
}

impl Ord for Fraction {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0 * other.1).cmp(&(other.0 * self.1))
    }
}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
