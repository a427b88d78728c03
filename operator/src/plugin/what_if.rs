//! What a promotion would do to a pool, as text.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::promotion::zone;
use super::text::{Align, Line, counted, paragraph, section, table};
use crate::admin::{PoolObservation, PoolRecord};
use crate::api::Promotion;
use crate::autoscale::DEFAULT_HOLD_TIME;
use crate::simulate::{Steady, WhatIf};

/// At most so many rows of the chart.
const ROWS: usize = 30;
/// The longest bar.
const BAR: u32 = 40;
/// A row is one of these, in minutes.
const MINUTES: [usize; 9] = [5, 10, 15, 30, 60, 120, 180, 360, 720];

/// The pool as it is now, for ever.
pub(super) fn steady(record: &PoolRecord) -> Steady {
    let seen = &record.observation;
    let load = f64::from(seen.active) + f64::from(seen.waiting);
    let assumed = DEFAULT_HOLD_TIME.as_secs_f64();
    Steady {
        load,
        hold_seconds: seen.hold_time_seconds.unwrap_or(assumed),
        start_seconds: seen.start_time_seconds,
        tenant_share: record.terms.tenant_share,
    }
}

/// The outcome as a person reads it.
pub(super) fn explain(
    record: &PoolRecord,
    promotion: &Promotion,
    steady: &Steady,
    outcome: &WhatIf,
) -> String {
    let (with, without) = (&outcome.with, &outcome.without);
    let mut text = format!(
        "{} on {}/{}: at most {}, instead of {}\n\n",
        promotion.name_any(),
        record.tenant,
        record.pool,
        counted(with.peak, "worker"),
        without.peak
    );
    text += &paragraph(&cut(record, outcome), 2);
    let extra = with.worker_hours - without.worker_hours;
    let hours = with.workers.len() as f64 / 3_600.0;
    let lines = [
        Line::new(
            "peak",
            &with.peak,
            format!("workers, instead of {}", without.peak),
        ),
        Line::new(
            "worker-hours",
            &format!("{:.1}", with.worker_hours),
            format!(
                "instead of {:.1}: {extra:.1} more, over the {hours:.1} hours shown",
                without.worker_hours
            ),
        ),
        Line::new(
            "waited",
            &with.waited,
            "conversations for longer than five seconds",
        ),
    ];
    text += &section("What it comes to", &lines);
    let load = [
        Line::new(
            "load",
            &format!("{:.0}", steady.load),
            "conversations at once, as now",
        ),
        Line::new(
            "length",
            &format!("{:.0}", steady.hold_seconds),
            hold_time(&record.observation),
        ),
        Line::new(
            "start time",
            &format!("{:.1}", steady.start_seconds),
            "seconds until a new worker answers, as now",
        ),
    ];
    text += &section("Taken as given", &load);
    let (name, zone) = zone(&promotion.spec);
    let chart = chart(outcome, &zone);
    format!("{text}\nWorkers over time, the most of each row; {name}\n{chart}")
}

/// What the hold time is.
pub(super) fn hold_time(seen: &PoolObservation) -> &'static str {
    match seen.hold_time_seconds {
        Some(_) => "seconds that a conversation lasts on average, as measured",
        None => "seconds that a conversation is taken to last: too few have ended to measure it",
    }
}

/// Whether limits are in the way, and which.
fn cut(record: &PoolRecord, outcome: &WhatIf) -> String {
    let WhatIf {
        wanted,
        maximum,
        tenant_share,
        ..
    } = outcome;
    let most = maximum.min(tenant_share);
    if wanted <= most {
        return format!(
            "No limit cuts it: {} are wanted at most, and {most} are allowed.",
            counted(*wanted, "worker")
        );
    }
    let tenant = &record.tenant;
    let because = if tenant_share < maximum && record.terms.cluster_is_short {
        format!(
            "the cluster is short, and the share of tenant {tenant} leaves {tenant_share}: add nodes, or raise its guarantee"
        )
    } else if tenant_share < maximum {
        format!(
            "the limit of tenant {tenant} leaves {tenant_share}: raise spec.capacity.limit (`kubectl edit tn {tenant}`)"
        )
    } else {
        format!(
            "the maximum is {maximum}: raise spec.ceiling of the promotion or spec.scaling.max of the pool"
        )
    };
    format!(
        "Cut short: {} are wanted at most, and {because}.",
        counted(*wanted, "worker")
    )
}

fn chart(outcome: &WhatIf, zone: &TimeZone) -> String {
    let (with, without) = (&outcome.with.workers, &outcome.without.workers);
    let minutes = with.len().div_ceil(60 * ROWS);
    let minutes = MINUTES
        .into_iter()
        .find(|known| *known >= minutes)
        .unwrap_or(1_440);
    let seconds = minutes * 60;
    let most = outcome.with.peak.max(1);
    let mut rows = vec![["", "with", "without", "", ""].map(str::to_owned).to_vec()];
    for (index, chunk) in with.chunks(seconds).enumerate() {
        let begin = i64::try_from(index * seconds).unwrap_or(i64::MAX);
        let at = |offset: i64| {
            let since = SignedDuration::from_secs(begin.saturating_add(offset));
            outcome.origin.checked_add(since).unwrap_or(Timestamp::MAX)
        };
        let span = i64::try_from(seconds).unwrap_or(i64::MAX);
        let workers = chunk.iter().max().copied().unwrap_or(0);
        let others = without.chunks(seconds).nth(index);
        let others = others.and_then(|chunk| chunk.iter().max()).copied().unwrap_or(0);
        let length = (workers * BAR).div_ceil(most);
        rows.push(vec![
            zone.to_datetime(at(0)).strftime("%a %H:%M").to_string(),
            workers.to_string(),
            others.to_string(),
            "#".repeat(usize::try_from(length).unwrap_or(0)),
            moments(outcome, at(0), at(span)),
        ]);
    }
    let (left, right) = (Align::Left, Align::Right);
    table(&rows, &[left, right, right, left, left])
}

/// What lies within a row.
fn moments(outcome: &WhatIf, from: Timestamp, to: Timestamp) -> String {
    let course = &outcome.course;
    let moments = [
        (course.ready_by, "all answer"),
        (course.occurrence.start, "start"),
        (course.occurrence.end, "end"),
    ];
    let within = moments.into_iter().filter(|(at, _)| from <= *at && *at < to);
    within.map(|(_, what)| what).collect::<Vec<_>>().join(", ")
}
