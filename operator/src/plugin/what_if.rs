//! What a promotion would do to pools, as text and as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::error::PluginError;
use super::promotion::{times_of, zone};
use super::text::{Align, Line, counted, paragraph, section, table};
use crate::admin::{PoolObservation, PoolRecord};
use crate::api::{BotPool, ManualMode, Promotion};
use crate::autoscale::{Baseline, BaselineFrom, DEFAULT_HOLD_TIME, Flow, Override, OverrideMode};
use crate::simulate::{Run, SeenPool, WhatIf};

/// At most so many rows of the chart.
const ROWS: usize = 30;
/// The longest bar.
const BAR: u32 = 40;
/// A row is one of these, in minutes.
const MINUTES: [usize; 9] = [5, 10, 15, 30, 60, 120, 180, 360, 720];

/// A promotion that was tried on one pool.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    pub(super) record: PoolRecord,
    pub(super) seen: SeenPool,
    /// The tenant's zone is known.
    pub(super) knows_zone: bool,
    pub(super) outcome: WhatIf,
}

/// What was tried on each pool, or why it could not be.
pub(super) type Attempt = (String, Result<Tried, PluginError>);

/// The pool as it is now, with what is known of it.
pub(super) fn seen(record: &PoolRecord, object: &BotPool, zone: &str, baseline: Baseline) -> SeenPool {
    let PoolObservation {
        active,
        waiting,
        arrivals_per_second,
        endings_per_second,
        start_time_seconds,
        start_time_p99_seconds,
        hold_time_seconds,
        ready,
        starting,
        ..
    } = record.observation;
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    SeenPool {
        load: active.saturating_add(waiting),
        flow: Flow {
            arrivals: arrivals_per_second,
            endings: endings_per_second,
        },
        ready,
        starting,
        desired: record.desired,
        start_times: (
            seconds(start_time_seconds),
            seconds(start_time_p99_seconds.unwrap_or(start_time_seconds)),
        ),
        hold: hold_time_seconds.map(seconds),
        peak: record.terms.peak_load_last_hour,
        tenant_share: record.terms.tenant_share,
        zone: zone.to_owned(),
        baseline,
        manual: manual(object),
    }
}

fn manual(object: &BotPool) -> Option<Override> {
    let given = object.status.as_ref()?.r#override.as_ref()?;
    Some(Override {
        mode: match given.mode {
            ManualMode::Floor => OverrideMode::Floor,
            ManualMode::Pin => OverrideMode::Pin,
            ManualMode::Ceiling => OverrideMode::Ceiling,
        },
        workers: given.replicas,
        set_at: given.set_at.0,
        lapses_at: given.lapses_at.0,
    })
}

/// All pools, one section each.
pub(super) fn sections(promotion: &Promotion, attempts: &[Attempt], now: Timestamp) -> String {
    let sections = attempts.iter().map(|(pool, attempt)| match attempt {
        Ok(tried) => explain(promotion, tried, now),
        Err(error) => {
            let heading = format!("{} on {pool}: cannot be tried\n\n", promotion.name_any());
            heading + &paragraph(&error.to_string(), 2)
        }
    });
    let together = together(attempts)
        .into_iter()
        .map(|together| paragraph(&together.verdict(), 0));
    sections.chain(together).collect::<Vec<_>>().join("\n")
}

/// What several pools of one tenant want that were tried one by one, and what its limit leaves to all of them.
struct Together<'a> {
    tenant: &'a str,
    pools: usize,
    wanted: u32,
    allowed: u32,
}

impl Together<'_> {
    fn verdict(&self) -> String {
        let Self {
            tenant,
            pools,
            wanted,
            allowed,
        } = self;
        let counted = counted(*wanted, "worker");
        let lacks = wanted.saturating_sub(*allowed);
        if lacks == 0 {
            return format!(
                "Together the {pools} pools of tenant {tenant} want {counted} at most, which its limit leaves to them."
            );
        }
        format!(
            "Together the {pools} pools of tenant {tenant} want {counted} at most, and its limit leaves {allowed}: {lacks} will be \
             lacking, although each pool by itself has room. Raise spec.capacity.limit (`kubectl edit tn {tenant}`)."
        )
    }
}

/// Of each tenant of which several pools were tried.
fn together(attempts: &[Attempt]) -> Vec<Together<'_>> {
    let mut tenants: BTreeMap<&str, Vec<&Tried>> = BTreeMap::new();
    for tried in attempts.iter().filter_map(|(_, attempt)| attempt.as_ref().ok()) {
        tenants.entry(&tried.record.tenant).or_default().push(tried);
    }
    tenants.retain(|_, tried| tried.len() > 1);
    let of = |(tenant, tried): (_, Vec<&Tried>)| {
        let wanted = tried
            .iter()
            .map(|tried| tried.outcome.wanted.min(tried.outcome.maximum));
        let desired = tried
            .iter()
            .fold(0, |sum: u32, tried| sum.saturating_add(tried.record.desired));
        // What is left to one is what the others do not have.
        let left = tried.iter().map(|tried| {
            let others = desired - tried.record.desired;
            tried.outcome.tenant_share.saturating_add(others)
        });
        Together {
            tenant,
            pools: tried.len(),
            wanted: wanted.fold(0, u32::saturating_add),
            allowed: left.max().unwrap_or(0),
        }
    };
    tenants.into_iter().map(of).collect()
}

/// All pools, as JSON.
pub(super) fn values(promotion: &Promotion, attempts: &[Attempt]) -> Value {
    let values = attempts.iter().map(|(pool, attempt)| match attempt {
        Ok(tried) => value(promotion, tried),
        Err(error) => json!({
            "promotion": promotion.name_any(), "pool": pool, "error": error.to_string(),
        }),
    });
    values.collect()
}

fn value(promotion: &Promotion, tried: &Tried) -> Value {
    let Tried {
        record,
        seen,
        outcome,
        ..
    } = tried;
    let run = |run: &Run| json!({"peak_workers": run.peak, "worker_hours": run.worker_hours, "waited_over_5s": run.waited});
    let note = outcome.note.as_ref();
    let occurrence = outcome.course.occurrence;
    let (least, most) = outcome.expected;
    json!({
        "promotion": promotion.name_any(),
        "pool": format!("{}/{}", record.tenant, record.pool),
        "start": occurrence.start.to_string(),
        "end": occurrence.end.to_string(),
        "ready_by": outcome.course.ready_by.to_string(),
        "prewarm_at": note.map(|note| note.prewarm_at.to_string()),
        "all_answer_at": note.and_then(|note| note.answered_at).map(|at| at.to_string()),
        "baseline_conversations": note.and_then(|note| note.baseline).map(|(load, _)| load),
        "baseline_from": note.and_then(|note| note.baseline).map(|(_, from)| from.as_str()),
        "wanted_workers": note.map(|note| note.wanted),
        "shortfall_workers": note.map(|note| note.shortfall),
        "limited_by": note.and_then(|note| note.limited_by),
        "wanted_peak_workers": outcome.wanted,
        "maximum_workers": outcome.maximum,
        "tenant_share_workers": Some(outcome.tenant_share).filter(|share| *share < u32::MAX),
        "with": run(&outcome.with),
        "without": run(&outcome.without),
        "assumed": {
            "begins": outcome.origin.to_string(),
            "ends": ends(outcome).to_string(),
            "from_live_state": outcome.is_live,
            "load_conversations": {"now": seen.load, "least": least, "most": most, "learned": outcome.is_learned},
            "hold_seconds": seen.hold.unwrap_or(DEFAULT_HOLD_TIME).as_secs_f64(),
            "hold_measured": seen.hold.is_some(),
            "start_seconds": seen.start_times.0.as_secs_f64(),
            "start_p99_seconds": seen.start_times.1.as_secs_f64(),
            "time_zone": Some(&seen.zone).filter(|_| tried.knows_zone),
            "override_workers": seen.manual.map(|manual| manual.workers),
            "override_lapses_at": seen.manual.map(|manual| manual.lapses_at.to_string()),
            "other_promotions": outcome.others,
        },
    })
}

/// The outcome as a person reads it.
fn explain(promotion: &Promotion, tried: &Tried, now: Timestamp) -> String {
    let Tried { record, outcome, .. } = tried;
    let mut text = format!(
        "{} on {}/{}: at most {}, instead of {}\n\n",
        promotion.name_any(),
        record.tenant,
        record.pool,
        counted(outcome.with.peak, "worker"),
        outcome.without.peak
    );
    text += &paragraph(&cut(record, outcome), 2);
    text += &section("When", &when(promotion, outcome, now));
    text += &section("What it comes to", &comes_to(outcome));
    text += &section("Taken as given", &given(tried));
    let (name, zone) = zone(&promotion.spec);
    let chart = chart(outcome, &zone);
    format!("{text}\nWorkers over time, the most of each row; {name}\n{chart}")
}

fn when(promotion: &Promotion, outcome: &WhatIf, now: Timestamp) -> Vec<Line> {
    let course = &outcome.course;
    let mut moments = Vec::new();
    if let Some(note) = &outcome.note {
        moments.push(("pre-warming", note.prewarm_at, "workers begin to be started"));
        if let Some(answered) = note.answered_at {
            moments.push(("expected", answered, "all that are wanted answer"));
        }
    }
    moments.push(("all answer", course.ready_by, "readyBy before the start"));
    moments.push(("start", course.occurrence.start, "the window opens"));
    moments.push(("end", course.occurrence.end, "the window closes"));
    times_of(&promotion.spec, &moments, now)
}

fn comes_to(outcome: &WhatIf) -> Vec<Line> {
    let (with, without) = (&outcome.with, &outcome.without);
    let extra = with.worker_hours - without.worker_hours;
    let hours = with.workers.len() as f64 / 3_600.0;
    let mut lines = Vec::new();
    if let Some(note) = &outcome.note {
        if let Some((load, from)) = note.baseline {
            lines.push(Line::new("baseline", &load, counted_from(from)));
        }
        lines.push(Line::new("wanted", &note.wanted, "workers when the window opens"));
    }
    lines.extend([
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
            format!(
                "conversations for longer than five seconds, instead of {}",
                without.waited
            ),
        ),
    ]);
    lines
}

fn counted_from(from: BaselineFrom) -> &'static str {
    match from {
        BaselineFrom::SameSlotBaseline => {
            "conversations that percent counts from: learned of the same times of the week"
        }
        BaselineFrom::LastHour => {
            "conversations that percent counts from: the last hour, for the same times of the week are not trusted"
        }
        BaselineFrom::CurrentLoad => "conversations that percent counts from: the last hour, as it asks",
    }
}

fn given(tried: &Tried) -> Vec<Line> {
    let Tried {
        record,
        seen,
        knows_zone,
        outcome,
    } = tried;
    let others = if outcome.others.is_empty() {
        "no other promotion is for this pool".to_owned()
    } else {
        format!(
            "promotions that are for this pool too: {}",
            outcome.others.join(", ")
        )
    };
    let mut lines = vec![
        Line::new("workers", &seen.ready, begins(seen, outcome)),
        Line::new("load", &seen.load, load(outcome)),
        Line::new(
            "length",
            &format!("{:.0}", seen.hold.unwrap_or(DEFAULT_HOLD_TIME).as_secs_f64()),
            hold_time(&record.observation),
        ),
        Line::new(
            "start time",
            &format!("{:.1}", seen.start_times.0.as_secs_f64()),
            format!(
                "seconds until a new worker answers, as now; 99 of 100 keep {:.1}",
                seen.start_times.1.as_secs_f64()
            ),
        ),
        Line::new("others", &outcome.others.len(), others),
    ];
    if let Some(manual) = &seen.manual {
        let note = format!("workers given by kubectl scale, until {}", manual.lapses_at);
        lines.push(Line::new("override", &manual.workers, note));
    }
    if !knows_zone {
        lines.push(Line::new(
            "zone",
            &seen.zone,
            "for the tenant's could not be read: times of the week may be shifted",
        ));
    }
    lines
}

/// With what the runs begin.
fn begins(seen: &SeenPool, outcome: &WhatIf) -> String {
    if outcome.is_live {
        format!(
            "answer and {} start, as now: the runs go on from here",
            seen.starting
        )
    } else {
        format!(
            "answer now; pre-warming is more than six hours away, so the runs begin an hour before it, at {}, with as many \
             as its load needs",
            outcome.origin
        )
    }
}

/// What load is expected.
fn load(outcome: &WhatIf) -> String {
    let (least, most) = outcome.expected;
    if outcome.is_learned {
        format!(
            "conversations at once now; then as the pool learned of these times of the week, {least:.0} to {most:.0}, without what \
             the promotion brings"
        )
    } else {
        "conversations at once now, and so on: what is usual at these times of the week is not known"
            .to_owned()
    }
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

fn ends(outcome: &WhatIf) -> Timestamp {
    after(outcome.origin, outcome.with.workers.len())
}

fn after(at: Timestamp, seconds: usize) -> Timestamp {
    let since = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    at.checked_add(since).unwrap_or(Timestamp::MAX)
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
        let at = after(outcome.origin, index * seconds);
        let workers = chunk.iter().max().copied().unwrap_or(0);
        let others = without.chunks(seconds).nth(index);
        let others = others.and_then(|chunk| chunk.iter().max()).copied().unwrap_or(0);
        let length = (workers * BAR).div_ceil(most);
        rows.push(vec![
            zone.to_datetime(at).strftime("%a %H:%M").to_string(),
            workers.to_string(),
            others.to_string(),
            "#".repeat(usize::try_from(length).unwrap_or(0)),
            moments(outcome, at, after(at, seconds)),
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
