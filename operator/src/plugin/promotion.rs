//! What a promotion comes to, as text.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::conditions::{shown, unwell};
use super::text::{Align, Line, counted, paragraph, section, span, table};
use crate::api::{
    BaselineFrom, Boost, BoostBase, Promotion, PromotionPoolStatus, PromotionSpec, PromotionStatus,
};
use crate::autoscale::DEFAULT_HOLD_TIME;

/// The promotion as a person reads it.
pub(super) fn explain(promotion: &Promotion, now: Timestamp) -> String {
    let name = promotion.name_any();
    let spec = &promotion.spec;
    let Some(status) = &promotion.status else {
        return format!(
            "{name}: not looked at yet\n\n{}",
            paragraph(
                &format!(
                    "No operator has looked at it; if that stays so, see `kubectl describe promo {name}`."
                ),
                2
            )
        );
    };
    let mut text = format!(
        "{name}: {}; {} of {} that are wanted answer\n",
        phase(&status.phase),
        status.ready,
        counted(status.wanted, "worker")
    );
    text += &section("When", &times(spec, status, now));
    text += &section("How much", &size(spec));
    text += "\nPools, in workers; load in conversations\n";
    text += &pools(&status.pools, now);
    if status.pools.iter().any(|pool| short(pool) > 0) && is_short(status) {
        text += &change(status);
    }
    text += "\nConditions\n";
    text += &unwell(&status.conditions);
    // What is announced is worth reading while it is awaited, too.
    let awaited = status
        .conditions
        .iter()
        .filter(|one| one.type_ == "PrewarmReady" && matches!(one.reason.as_str(), "Waiting" | "Prewarming"));
    text + &awaited.map(shown).collect::<String>()
}

fn phase(phase: &str) -> &'static str {
    match phase {
        "Waiting" => "waiting for its time",
        "Prewarming" => "pre-warming",
        "Open" => "its window is open",
        "CoolingDown" => "cooling down",
        "Over" => "over",
        _ => "not planned",
    }
}

/// The zone of its window, by name.
pub(super) fn zone(spec: &PromotionSpec) -> (&str, TimeZone) {
    let window = spec.window.as_ref().map(|window| window.time_zone.as_str());
    let recur = spec.recur.as_ref().map(|recur| recur.time_zone.as_str());
    let name = window.or(recur).unwrap_or("UTC");
    match TimeZone::get(name) {
        Ok(zone) => (name, zone),
        Err(_) => ("UTC", TimeZone::UTC),
    }
}

/// Moments with what they mean, in the zone of the window and in UTC.
pub(super) fn times_of(
    spec: &PromotionSpec,
    moments: &[(&str, Timestamp, &str)],
    now: Timestamp,
) -> Vec<Line> {
    let (name, zone) = zone(spec);
    let moments = moments.iter().map(|(label, at, means)| {
        let at = Timestamp::from_second(at.as_second()).unwrap_or(*at);
        let local = zone.to_datetime(at).strftime("%a %Y-%m-%d %H:%M:%S");
        Line::new(label, &local, format!("{at}, {}; {means}", when(at, now)))
    });
    [Line::new("", &name, "UTC")].into_iter().chain(moments).collect()
}

fn times(spec: &PromotionSpec, status: &PromotionStatus, now: Timestamp) -> Vec<Line> {
    let mut moments = Vec::new();
    if let Some(prewarm) = &status.prewarm_at {
        let means = if prewarm.0 <= now { "began" } else { "begins" };
        moments.push(("pre-warming", prewarm.0, means));
    }
    if let Some(start) = &status.start {
        let ready_by = SignedDuration::try_from(spec.ready_by.0).unwrap_or(SignedDuration::ZERO);
        if let Ok(ready_by) = start.0.checked_sub(ready_by) {
            moments.push(("all answer", ready_by, "readyBy before the start"));
        }
        moments.push(("start", start.0, "the window opens"));
    }
    if let Some(end) = &status.end {
        moments.push(("end", end.0, "the window closes, and what was held is let go"));
    }
    let mut lines = times_of(spec, &moments, now);
    if let Some(recur) = &spec.recur {
        lines.push(Line::new(
            "again",
            &&recur.cron,
            format!("as cron, each for {}", recur.duration),
        ));
    }
    lines
}

fn when(at: Timestamp, now: Timestamp) -> String {
    let since = now.duration_since(at);
    if since.is_negative() {
        format!("in {}", span(-since))
    } else {
        format!("{} ago", span(since))
    }
}

fn size(spec: &PromotionSpec) -> Vec<Line> {
    let Boost { percent, of, workers } = &spec.boost;
    let mut lines = Vec::new();
    if let Some(workers) = workers {
        lines.push(Line::new("workers", &workers, "at least, in each pool"));
    }
    if let Some(percent) = percent {
        let of = match of {
            BoostBase::CurrentLoad => "the highest load of the hour before pre-warming",
            BoostBase::SameSlotBaseline => "what the pool learned of the same times of the week",
        };
        lines.push(Line::new("boost", &format!("+{percent} %"), format!("over {of}")));
    }
    if let Some(ceiling) = spec.ceiling {
        lines.push(Line::new(
            "ceiling",
            &ceiling,
            "of each pool while it holds, where its own maximum is lower",
        ));
    }
    lines
}

fn pools(pools: &[PromotionPoolStatus], now: Timestamp) -> String {
    let headings = [
        "pool", "baseline", "from", "hold", "wanted", "floor", "ready", "missing", "expected",
    ];
    let mut rows = vec![headings.map(str::to_owned).to_vec()];
    rows.extend(pools.iter().map(|pool| row(pool, now)));
    let (left, right) = (Align::Left, Align::Right);
    table(
        &rows,
        &[left, right, left, left, right, right, right, right, left],
    )
}

fn row(status: &PromotionPoolStatus, now: Timestamp) -> Vec<String> {
    // Without `..`: a new field is a new column.
    let PromotionPoolStatus {
        tenant,
        pool,
        baseline,
        baseline_from,
        hold_seconds,
        wanted,
        floor,
        ready,
        expected_at,
        limited_by,
    } = status;
    let missing = || "-".to_owned();
    let from = baseline_from.map(|from| match from {
        BaselineFrom::SameSlotBaseline => "same slots",
        BaselineFrom::LastHour => "last hour, slots unknown",
        BaselineFrom::CurrentLoad => "last hour",
    });
    // Percentages alone are counted by it.
    let hold = baseline.map(|_| match hold_seconds {
        Some(seconds) => format!("{seconds} s"),
        None => format!("{} s assumed", DEFAULT_HOLD_TIME.as_secs()),
    });
    let expected = match expected_at {
        Some(at) => format!("{}, {}", at.0, when(at.0, now)),
        None if short(status) > 0 => limited_by
            .as_deref()
            .map_or_else(|| "not known yet".to_owned(), |limit| format!("never: {limit}")),
        None => missing(),
    };
    vec![
        format!("{tenant}/{pool}"),
        baseline.map_or_else(missing, |load| load.to_string()),
        from.map_or_else(missing, str::to_owned),
        hold.unwrap_or_else(missing),
        wanted.to_string(),
        floor.to_string(),
        ready.to_string(),
        short(status).to_string(),
        expected,
    ]
}

/// Workers that do not answer yet.
fn short(pool: &PromotionPoolStatus) -> u32 {
    pool.wanted.saturating_sub(pool.ready)
}

/// It will not be ready in time.
fn is_short(status: &PromotionStatus) -> bool {
    let mut conditions = status.conditions.iter();
    conditions
        .any(|one| one.type_ == "PrewarmReady" && one.status == "False" && one.reason == "CapacityShort")
}

fn change(status: &PromotionStatus) -> String {
    let limit = status.pools.iter().find_map(|pool| pool.limited_by.as_deref());
    let advice = match limit {
        Some("Maximum") => {
            "For more, raise spec.ceiling of the promotion or spec.scaling.max of the pool; or ask for less in spec.boost."
        }
        Some("TenantLimit") => {
            "For more, raise spec.capacity.limit of the Tenant, or let its other pools have fewer; or ask for less in spec.boost."
        }
        Some("Override") => {
            "An override of the pool holds it down: release it by `kubectl scale botpool NAME --replicas=0`, or give a higher number."
        }
        Some("FairShare") => {
            "The cluster is short: add nodes, or raise operator.maxWorkers of the chart or spec.capacity.guaranteed of the Tenant."
        }
        Some("Suspended") => "The pool is suspended: set its spec.suspend to false.",
        Some("NoTenant") => "The pool's Tenant does not exist: create it.",
        Some(_) => "The pool does not exist: create it, or take it out of spec.pools.",
        None => {
            "Workers start too slowly for the time that is left: give spec.readyBy more time for the next one, add nodes, or raise \
         operator.creations of the chart; or hold workers now by `kubectl scale`."
        }
    };
    format!("\n{}", paragraph(advice, 2))
}
