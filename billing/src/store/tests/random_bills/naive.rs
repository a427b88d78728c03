//! The plan's meaning computed again, from its text alone: event by event and minute by minute, in fractions, with nothing
//! of the product's rating, buckets or tables. Slow, and short enough to be read against the contract.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::cases::{Case, CaseEvent};
use crate::service_level::hour::Counts;

/// A plan with the time that it prices.
struct Priced<'a> {
    plan: &'a Value,
    zone: TimeZone,
    start: Timestamp,
    end: Timestamp,
}

impl Priced<'_> {
    /// What of it the contract covers, in whole local dates.
    fn contract(&self, case: &Case) -> Option<(Timestamp, Timestamp)> {
        let midnight = |date: Date| date.to_zoned(self.zone.clone()).unwrap().timestamp();
        let date_of = |instant| self.zone.to_datetime(instant).date();
        let start = midnight(date_of(case.registered)).max(self.start);
        let closed = case
            .closed
            .map(|closed| midnight(date_of(closed).tomorrow().unwrap()));
        let end = closed.map_or(self.end, |closed| closed.min(self.end));
        (start < end).then_some((start, end))
    }
}

/// (kind, amount in smallest units), in order; the total.
pub(super) fn bill(case: &Case) -> (Vec<(String, i128)>, i128) {
    let parts = parts(case);
    let (start, end) = (parts[0].start, parts[parts.len() - 1].end);
    let mut lines: Vec<(String, i128)> = Vec::new();
    for part in &parts {
        lines.extend(fees(case, part, (start, end)));
    }
    let plan = parts[parts.len() - 1].plan;
    let exponent = exponent(plan);
    let covered: Vec<_> = parts.iter().filter_map(|part| part.contract(case)).collect();
    let contract = covered.first().zip(covered.last()).map(|(first, last)| {
        (
            first.0.max(case.registered),
            last.1.min(case.closed.unwrap_or(last.1)),
        )
    });
    let credit = contract.and_then(|contract| credit(case, &plan["sla"], (start, end), contract));
    if let Some(percent) = credit {
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

/// Digits after the point.
pub(super) fn exponent(plan: &Value) -> u32 {
    match plan["currency"].as_str().unwrap() {
        "JPY" => 0,
        "KWD" => 3,
        _ => 2,
    }
}

/// The month in parts: from its first midnight in the zone of the plan of that date, until the next one's.
fn parts(case: &Case) -> Vec<Priced<'_>> {
    // Of several plans for one date the last.
    let plans: BTreeMap<Date, &Value> = case.plans.iter().map(|(from, plan)| (*from, plan)).collect();
    let zone = |plan: &Value| TimeZone::get(plan["timeZone"].as_str().unwrap()).unwrap();
    let midnight = |date: Date, zone: &TimeZone| date.to_zoned(zone.clone()).unwrap().timestamp();
    let beginning = |first: Date| {
        let (_, plan) = plans.range(..=first).next_back().unwrap();
        midnight(first, &zone(plan))
    };
    let (start, end) = (beginning(case.month), beginning(case.next_month()));
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

/// What a part of the month costs; its share: the seconds that the contract covers of it, over those of the month.
fn fees(case: &Case, part: &Priced<'_>, (start, end): (Timestamp, Timestamp)) -> Vec<(String, i128)> {
    let Priced { plan, zone, .. } = part;
    let (covered, month) = (part.contract(case), seconds(start, end));
    let share = Fraction::new(covered.map_or(0, |(start, end)| seconds(start, end)), month);
    let is_whole = share == Fraction::new(1, 1);
    let exponent = exponent(plan);
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
        let active = covered.map_or(0, |covered| active_seconds(case, module, covered, end));
        let fee = fraction(&module["monthlyFee"]) * Fraction::new(active, month);
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

/// For how long of a time a module was taken, as far as is known at the month's end.
fn active_seconds(
    case: &Case,
    module: &Value,
    (start, end): (Timestamp, Timestamp),
    known: Timestamp,
) -> i128 {
    let is_mine = |name: &str, at: Timestamp| name == module["name"].as_str().unwrap() && at < known;
    let mine = || case.modules.iter().filter(|(at, name, _)| is_mine(name, *at));
    let state_at = |instant| match (mine().rfind(|(at, ..)| *at <= instant), mine().next()) {
        (Some((.., active)), _) => *active,
        (None, Some((.., first))) => !first,
        (None, None) => true,
    };
    let within = mine().map(|(at, ..)| *at).filter(|at| start < *at && *at < end);
    let mut borders: Vec<_> = [start].into_iter().chain(within).collect();
    borders.push(end);
    let spans = borders.windows(2).filter(|span| state_at(span[0]));
    spans.map(|span| seconds(span[0], span[1])).sum()
}

/// The percentage that is credited: of the objectives the one with the most.
fn credit(
    case: &Case,
    levels: &Value,
    (start, end): (Timestamp, Timestamp),
    contract: (Timestamp, Timestamp),
) -> Option<Fraction> {
    if case.minutes.iter().all(|(minute, _)| *minute >= end) {
        return None;
    }
    let is_excluded = |instant: Timestamp| {
        let mut all = case.exclusions.iter();
        all.any(|(from, to)| (*from..*to).contains(&instant))
    };
    let covers = |instant| contract.0 <= instant && instant < contract.1;
    let counted =
        |minute: Timestamp| start <= minute && minute < end && covers(minute) && !is_excluded(minute);
    let minutes: Vec<_> = case
        .minutes
        .iter()
        .filter(|(minute, _)| counted(*minute))
        .collect();
    let availability = slices(
        &levels["availability"],
        &minutes,
        (start, end),
        contract,
        is_excluded,
    );
    let (fast, slow) = minutes.iter().fold((0, 0), |(fast, slow), (_, counts)| {
        (fast + i128::from(counts.fast), slow + i128::from(counts.slow))
    });
    let percents = [
        percent_of(&levels["availability"], availability),
        percent_of(&levels["responseTime"], (fast, fast + slow)),
    ];
    percents.into_iter().flatten().max()
}

/// What an objective credits for so many good of those that count.
fn percent_of(objective: &Value, (good, counted): (i128, i128)) -> Option<Fraction> {
    if counted == 0 || !objective.is_object() {
        return None;
    }
    let percent = Fraction::new(100 * good, counted);
    let rows = list(objective, "credits").iter();
    let rows = rows.filter(|row| percent < fraction(&row["below"]));
    let row = rows.min_by(|one, other| fraction(&one["below"]).cmp(&fraction(&other["below"])))?;
    Some(fraction(&row["percent"]).min(fraction(&objective["creditCap"])))
}

/// Slices: good ones, and all that count.
fn slices(
    level: &Value,
    minutes: &[&(Timestamp, Counts)],
    (start, end): (Timestamp, Timestamp),
    contract: (Timestamp, Timestamp),
    is_excluded: impl Fn(Timestamp) -> bool,
) -> (i128, i128) {
    let Some(length) = level["slice"].as_str() else {
        return (0, 0);
    };
    let length = SignedDuration::from_mins(length.trim_end_matches('m').parse().unwrap());
    let (mut good, mut counted) = (0, 0);
    let mut from = start;
    while from + length <= end {
        let (slice, to) = (from, from + length);
        from = to;
        if slice < contract.0 || contract.1 < to {
            continue;
        }
        let within = |minute: &Timestamp| (slice..to).contains(minute);
        let mine: Vec<_> = minutes.iter().filter(|(minute, _)| within(minute)).collect();
        let bad: u64 = mine.iter().map(|(_, counts)| counts.bad).sum();
        let all: u64 = mine.iter().map(|(_, counts)| counts.good + counts.bad).sum();
        let is_good = if mine.is_empty() {
            let all = (0..length.as_mins()).map(|minute| slice + SignedDuration::from_mins(minute));
            if all.into_iter().all(&is_excluded) {
                continue;
            }
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
    (good, counted)
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
