//! Why a pool has its size, as text.

use jiff::Timestamp;

use super::binding::{Sentences, mode, sentences};
use super::conditions::unwell;
use super::text::{Line, counted, paragraph, section, span};
use super::what_if::hold_time;
use crate::admin::{PoolObservation, PoolRecord, SilentPeer};
use crate::api::{BotPool, OverrideStatus};
use crate::autoscale::{Binding, DEFAULT_HOLD_TIME};

/// So many peers that are not heard are named.
const MOST_SILENT: usize = 5;

/// The record as a person reads it; the pool's object says what was asked for.
pub(super) fn explain(record: &PoolRecord, pool: Option<&BotPool>, now: Timestamp) -> String {
    let mut text = format!(
        "{}/{}: {} wanted ({})\n\n",
        record.tenant,
        record.pool,
        counted(record.desired, "worker"),
        record.binding
    );
    if let Some(binding) = Binding::parse(&record.binding) {
        let Sentences { means, change } = sentences(binding, record, pool);
        text += &paragraph(&means, 2);
        text += &paragraph(&change, 2);
    } else {
        text += "  This plugin is older than the operator and does not know what that means.\n";
    }
    text += &section("Seen", &seen(record));
    text += &section("Terms of the decision, in workers", &terms(record, pool));
    text += &section("Override", &manual(pool, now));
    text += "\nConditions\n";
    let status = pool.and_then(|pool| pool.status.as_ref());
    text += &unwell(status.map_or(&[], |status| status.conditions.as_slice()));
    text
}

fn seen(record: &PoolRecord) -> Vec<Line> {
    let seen = &record.observation;
    let capacity = record.terms.conversations_per_worker;
    let assumed = DEFAULT_HOLD_TIME.as_secs_f64();
    let mut lines = vec![
        Line::new("active", &seen.active, "conversations, of workers that are heard"),
        Line::new(
            "waiting",
            &seen.waiting,
            "conversations in the gateways' waiting rooms",
        ),
        Line::new(
            "arrivals",
            &format!("{:.2}", seen.arrivals_per_second),
            "conversations per second",
        ),
        Line::new(
            "endings",
            &format!("{:.2}", seen.endings_per_second),
            "conversations per second",
        ),
        Line::new(
            "start time",
            &format!("{:.1}", seen.start_time_seconds),
            "seconds until a new worker answers, which 95 of 100 keep",
        ),
        Line::new(
            "hold time",
            &format!("{:.0}", seen.hold_time_seconds.unwrap_or(assumed)),
            hold_time(seen),
        ),
        Line::new("ready", &seen.ready, per_worker(capacity)),
        Line::new("starting", &seen.starting, "workers that do not answer yet"),
        Line::new(
            "draining",
            &seen.draining,
            "workers that are leaving; they do not count",
        ),
        Line::new("silent", &seen.silent, silent(&seen.silent_peers)),
    ];
    lines.extend(usual(seen));
    lines
}

/// Who is not heard, and how old what is known of them is.
fn silent(peers: &[SilentPeer]) -> String {
    let said = peers
        .iter()
        .take(MOST_SILENT)
        .map(|peer| match peer.last_report_age_seconds {
            Some(age) => format!("{} (last report {age:.0} s before)", peer.pod),
            None => format!("{} (no report)", peer.pod),
        });
    let mut text = said.collect::<Vec<_>>().join(", ");
    if peers.len() > MOST_SILENT {
        text += ", …";
    }
    let separator = if peers.is_empty() { "" } else { ": " };
    format!("workers and gateways that are not heard{separator}{text}")
}

fn per_worker(capacity: u32) -> String {
    match capacity {
        0 => "workers that take conversations".to_owned(),
        _ => format!("workers that take conversations, {capacity} each"),
    }
}

fn terms(record: &PoolRecord, pool: Option<&BotPool>) -> Vec<Line> {
    let terms = &record.terms;
    let growth = format!("{:.1}", terms.growth_conversations);
    let mut lines = vec![
        Line::new(
            "growth",
            &&growth,
            "conversations expected while one more worker starts",
        ),
        Line::new("needed", &terms.needed, needed(record, &growth)),
        Line::new("headroom", &terms.headroom, "kept free on top"),
        Line::new(
            "react",
            &terms.react,
            "needed and headroom: what the load asks for",
        ),
        Line::new("forecast", &terms.forecast, forecast(record)),
    ];
    lines.extend(untrusted(record));
    lines.extend([
        Line::new("plan", &terms.plan, plan(record)),
        Line::new("floor", &terms.floor, floor(pool)),
        Line::new("ceiling", &terms.ceiling, ceiling(pool)),
        Line::new("needed of late", &terms.needed_within_window, within(pool)),
        Line::new("busy", &terms.busy, "what the active conversations fill"),
        Line::new(
            "tenant share",
            &share(terms.tenant_share),
            if terms.cluster_is_short {
                "what the tenant's share of a cluster that is short leaves to this pool"
            } else {
                "what the tenant's limit leaves to this pool"
            },
        ),
        Line::new(
            "peak load",
            &terms.peak_load_last_hour,
            "conversations at most within the last hour; promotions may count from it",
        ),
    ]);
    lines
}

fn needed(record: &PoolRecord, growth: &str) -> String {
    let seen = &record.observation;
    match record.terms.conversations_per_worker {
        0 => "for load and growth".to_owned(),
        capacity => format!(
            "({} + {} + {growth}) / {capacity}, rounded up",
            seen.active, seen.waiting
        ),
    }
}

fn forecast(record: &PoolRecord) -> String {
    let terms = &record.terms;
    match terms.forecast_error_percent {
        Some(error) => format!(
            "for {:+.1} conversations{}, until a new worker answers; such forecasts were {error:.1} % off",
            terms.forecast_conversations,
            horizon(record)
        ),
        None => "no forecast is trusted now".to_owned(),
    }
}

/// A forecast that is not trusted, if there is one.
fn untrusted(record: &PoolRecord) -> Option<Line> {
    let terms = &record.terms;
    let (gain, error) = terms.untrusted_conversations.zip(terms.untrusted_error_percent)?;
    let note = format!(
        "a forecast of {gain:+.1} conversations{}: such forecasts were {error:.1} % off, or too few were compared",
        horizon(record)
    );
    Some(Line::new("not trusted", &"-", note))
}

/// How far ahead the load is forecast.
fn horizon(record: &PoolRecord) -> String {
    let seconds = record.observation.horizon_seconds;
    seconds.map_or_else(String::new, |seconds| format!(" in {seconds:.1} s"))
}

/// What is usual at this time; nothing where an older operator does not say.
fn usual(seen: &PoolObservation) -> Option<Line> {
    seen.horizon_seconds?;
    Some(
        match seen.usual_conversations.zip(seen.usual_highest_conversations) {
            Some((now, highest)) => Line::new(
                "usual",
                &format!("{now:.0}"),
                format!(
                    "conversations at this time of the week, at most {highest:.0} until a new worker answers"
                ),
            ),
            None => Line::new(
                "usual",
                &"-",
                "what the pool learned of this time of the week is not trusted",
            ),
        },
    )
}

fn plan(record: &PoolRecord) -> String {
    if record.promotions.is_empty() {
        return "what promotions ask for".to_owned();
    }
    let held = record.promotions.iter().map(|held| {
        let state = if held.open { ", open" } else { "" };
        format!("{} ({}{state})", held.promotion, held.floor)
    });
    format!("what promotions ask for: {}", held.collect::<Vec<_>>().join(", "))
}

fn floor(pool: Option<&BotPool>) -> String {
    let least = pool.map(|pool| format!("; spec.scaling.min is {}", pool.spec.scaling.min));
    format!("the lowest allowed{}", least.unwrap_or_default())
}

fn ceiling(pool: Option<&BotPool>) -> String {
    let most = pool.map(|pool| format!("; spec.scaling.max is {}", pool.spec.scaling.max));
    format!("the highest allowed{}", most.unwrap_or_default())
}

fn within(pool: Option<&BotPool>) -> String {
    let window = pool.map(|pool| format!(" of {}", pool.spec.scaling.down_window));
    format!(
        "the most that was needed within the down window{}",
        window.unwrap_or_default()
    )
}

/// A tenant without a limit leaves more than anybody has.
fn share(share: u32) -> String {
    match share {
        u32::MAX => "-".to_owned(),
        share => share.to_string(),
    }
}

fn manual(pool: Option<&BotPool>, now: Timestamp) -> Vec<Line> {
    let Some(pool) = pool else {
        return vec![Line::new("-", &"", "the BotPool does not exist any more")];
    };
    let status = pool.status.as_ref();
    let Some(given) = status.and_then(|status| status.r#override.as_ref()) else {
        return vec![Line::new("none", &"", "")];
    };
    let OverrideStatus {
        summary: _,
        replicas,
        mode: kind,
        set_by,
        set_at,
        lapses_at,
    } = given;
    let left = span(lapses_at.0.duration_since(now).max(jiff::SignedDuration::ZERO));
    vec![
        Line::new("workers", &replicas, mode(*kind)),
        Line::new("set by", &set_by, format!("at {}", set_at.0)),
        Line::new("lapses", &format!("in {left}"), format!("at {}", lapses_at.0)),
    ]
}
