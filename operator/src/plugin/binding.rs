//! What each binding means, and what to change for another size.

use crate::admin::PoolRecord;
use crate::api::{BotPool, ManualMode};
use crate::autoscale::Binding;

use super::text::counted;

/// What decided, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sentences {
    /// What it means.
    pub(super) means: String,
    /// What to do for another size.
    pub(super) change: String,
}

/// The sentences of a binding for the pool of a record.
pub(super) fn sentences(binding: Binding, record: &PoolRecord, pool: Option<&BotPool>) -> Sentences {
    Sentences {
        means: means(binding, record, pool),
        change: change(binding, record, pool),
    }
}

fn means(binding: Binding, record: &PoolRecord, pool: Option<&BotPool>) -> String {
    let react = record.terms.react;
    match binding {
        Binding::Load => load(record),
        Binding::Forecast => forecast(record),
        Binding::Minimum => format!(
            "The pool's minimum decides: it never has fewer than {}; the load needs {react}.",
            record.terms.floor
        ),
        Binding::Override => {
            format!("A number that somebody gave by kubectl scale decides; the load alone needs {react}.")
        }
        Binding::Promotion => {
            let held = counted(record.terms.plan, "worker");
            format!("{} {held}; the load alone needs {react}.", promotions(record))
        }
        Binding::Maximum | Binding::TenantLimit | Binding::FairShare | Binding::Busy => {
            bounded(binding, record)
        }
        Binding::DownWindow | Binding::DownRate | Binding::ColdWindow => shrinking(binding, record, pool),
        Binding::MissingData => {
            let silent = match record.observation.silent {
                1 => "1 worker or gateway is".to_owned(),
                silent => format!("{silent} workers and gateways are"),
            };
            format!("{silent} not heard: nobody knows their load, so no worker leaves.")
        }
        Binding::LostWorkers => format!(
            "{} not heard any more, and the others cannot take the load, which needs {react}: more are started in their place.",
            match record.observation.lost {
                1 => "1 worker is".to_owned(),
                lost => format!("{lost} workers are"),
            }
        ),
        Binding::PromotionHolds => format!(
            "{} the pool: no worker leaves until the hold after the window is over; the load alone needs {react}.",
            promotions(record)
        ),
        Binding::Suspended => "spec.suspend empties the pool.".to_owned(),
    }
}

fn load(record: &PoolRecord) -> String {
    let (terms, seen) = (&record.terms, &record.observation);
    format!(
        "The load decides: {}, {} waiting and the growth that is expected need {}; {} more {} kept free.",
        counted(seen.active, "active conversation"),
        seen.waiting,
        counted(terms.needed, "worker"),
        terms.headroom,
        if terms.headroom == 1 { "is" } else { "are" },
    )
}

fn forecast(record: &PoolRecord) -> String {
    let terms = &record.terms;
    let error = terms.forecast_error_percent.map_or_else(String::new, |error| {
        format!(" Such forecasts were {error:.1} % off of late.")
    });
    format!(
        "The forecast decides: the load is expected to gain {} until a new worker answers, which needs {}; the load alone \
         needs {}.{error}",
        counted(whole(terms.forecast_conversations), "conversation"),
        counted(terms.forecast, "worker"),
        terms.react
    )
}

/// Less than is wanted.
fn bounded(binding: Binding, record: &PoolRecord) -> String {
    let terms = &record.terms;
    if binding == Binding::Busy {
        return format!(
            "The active conversations fill {}, more than the {} that are allowed: no worker with conversations is \
             taken away, and none is added.",
            counted(terms.busy, "worker"),
            terms.ceiling
        );
    }
    let wanted = counted(wanted(record), "worker");
    let (tenant, share) = (&record.tenant, terms.tenant_share);
    let because = match binding {
        Binding::TenantLimit => {
            format!("the limit of tenant {tenant}, which all its pools share, leaves {share}")
        }
        Binding::FairShare => {
            format!("the cluster is short of room: the share of tenant {tenant} leaves {share}")
        }
        _ => format!("the maximum allows {}", terms.ceiling),
    };
    format!("Wanted: {wanted}; {because}.")
}

/// More than is wanted now.
fn shrinking(binding: Binding, record: &PoolRecord, pool: Option<&BotPool>) -> String {
    let (terms, desired) = (&record.terms, record.desired);
    let (react, window) = (terms.react, window(pool));
    match binding {
        Binding::DownWindow => format!(
            "{desired} were needed within the last {window}; the load now needs {react}. A worker leaves when none was \
             needed in its place for that long."
        ),
        Binding::DownRate => {
            let percent = pool.map_or_else(
                || "the share maxDownPercentPerMinute".to_owned(),
                |pool| format!("{} %", pool.spec.scaling.max_down_percent_per_minute),
            );
            format!(
                "The pool is shrinking to {}: at most {percent} of its workers leave within a minute, but always one may.",
                react.max(terms.floor).min(terms.ceiling)
            )
        }
        _ => format!(
            "The operator that leads has not watched for {window} yet, so no worker leaves; the load needs {react}."
        ),
    }
}

fn change(binding: Binding, record: &PoolRecord, pool: Option<&BotPool>) -> String {
    let tenant = &record.tenant;
    match binding {
        Binding::Load | Binding::Forecast | Binding::Minimum | Binding::Override => by_hand(binding, record, pool),
        Binding::Promotion | Binding::PromotionHolds => {
            let held = record.promotions.first();
            let shown = held.map_or("NAME", |held| held.promotion.as_str());
            format!(
                "`kubectl springtide explain promo {shown}` says what it wants. For another size, change its spec.boost; \
                 to end it, delete it."
            )
        }
        Binding::Maximum => {
            "For more, raise spec.scaling.max of the pool, or spec.ceiling of a Promotion while it holds.".to_owned()
        }
        Binding::TenantLimit => format!(
            "For more, raise spec.capacity.limit (`kubectl edit tn {tenant}`), or let the tenant's other pools have fewer."
        ),
        Binding::FairShare => format!(
            "For more, add nodes (or raise operator.maxWorkers of the chart), or raise spec.capacity.guaranteed or weight \
             (`kubectl edit tn {tenant}`)."
        ),
        Binding::DownWindow => "Wait; or shorten spec.scaling.downWindow to let workers leave earlier.".to_owned(),
        Binding::DownRate => {
            "Wait; or raise spec.scaling.maxDownPercentPerMinute to let more leave at once.".to_owned()
        }
        Binding::MissingData | Binding::LostWorkers => format!(
            "The condition ScalingActive names who is silent; look at `kubectl get pods -n tenant-{tenant}`. A Pod that \
             is lost for good may be deleted."
        ),
        Binding::ColdWindow => "Wait: it ends by itself.".to_owned(),
        Binding::Busy => {
            "Wait: workers leave as conversations end. Or raise what is lowest of spec.scaling.max, spec.capacity.limit \
             of the Tenant and a ceiling given by kubectl scale."
                .to_owned()
        }
        Binding::Suspended => format!(
            "Set spec.suspend to false: `kubectl patch -n tenant-{tenant} bp/{} --type=merge -p \
             '{{\"spec\":{{\"suspend\":false}}}}'`.",
            record.pool
        ),
    }
}

/// Where a number that somebody gives helps.
fn by_hand(binding: Binding, record: &PoolRecord, pool: Option<&BotPool>) -> String {
    let scale = format!(
        "kubectl scale -n tenant-{} bp/{} --replicas",
        record.tenant, record.pool
    );
    let means = manual(pool);
    match binding {
        Binding::Override => {
            format!("`{scale}=0` releases it at once; another number replaces it ({means}).")
        }
        Binding::Minimum => format!(
            "For fewer, lower spec.scaling.min; for more, raise it, or for a while `{scale}=N` ({means})."
        ),
        _ => format!(
            "For more, raise spec.scaling.headroom or spec.scaling.min; for fewer, lower headroom or \
             spec.scaling.serviceLevel.share. For a while: `{scale}=N` ({means})."
        ),
    }
}

/// What would be wanted if nothing limited it.
fn wanted(record: &PoolRecord) -> u32 {
    let terms = &record.terms;
    terms.react.max(terms.forecast).max(terms.plan).max(terms.floor)
}

/// Who holds.
fn promotions(record: &PoolRecord) -> String {
    let names: Vec<_> = record
        .promotions
        .iter()
        .map(|held| held.promotion.as_str())
        .collect();
    match *names {
        [] => "A promotion holds".to_owned(),
        [name] => format!("Promotion {name} holds"),
        ref several => format!("Promotions {} hold", several.join(", ")),
    }
}

fn window(pool: Option<&BotPool>) -> String {
    pool.map_or_else(
        || "spec.scaling.downWindow".to_owned(),
        |pool| pool.spec.scaling.down_window.to_string(),
    )
}

/// What kubectl scale means for the pool.
pub(super) fn manual(pool: Option<&BotPool>) -> String {
    let Some(pool) = pool else {
        return "spec.scaling.manual says what that means".to_owned();
    };
    let manual = &pool.spec.scaling.manual;
    format!("{} for {}", mode(manual.mode), manual.ttl)
}

/// A kind of override, in words.
pub(super) fn mode(mode: ManualMode) -> &'static str {
    match mode {
        ManualMode::Floor => "a floor",
        ManualMode::Pin => "exactly that many",
        ManualMode::Ceiling => "a ceiling",
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates"
)]
fn whole(conversations: f64) -> u32 {
    conversations.round().max(0.0) as u32
}
