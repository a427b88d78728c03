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
    let (terms, seen, desired) = (&record.terms, &record.observation, record.desired);
    match binding {
        Binding::Load => format!(
            "The load decides: {}, {} waiting and the growth that is expected need {}; {} more {} kept free.",
            counted(seen.active, "active conversation"),
            seen.waiting,
            counted(terms.needed, "worker"),
            terms.headroom,
            if terms.headroom == 1 { "is" } else { "are" },
        ),
        Binding::Minimum => format!(
            "The pool's minimum decides: it never has fewer than {}; the load needs {}.",
            terms.floor, terms.react
        ),
        Binding::Override => format!(
            "A number that somebody gave by kubectl scale decides; the load alone needs {}.",
            terms.react
        ),
        Binding::Promotion => format!(
            "{} {} {}; the load alone needs {}.",
            promotions(record),
            if record.promotions.len() > 1 {
                "hold"
            } else {
                "holds"
            },
            counted(terms.plan, "worker"),
            terms.react
        ),
        Binding::Maximum => format!(
            "{} are wanted, and the maximum allows {}.",
            counted(wanted(record), "worker"),
            terms.ceiling
        ),
        Binding::TenantLimit => format!(
            "{} are wanted, and the limit of tenant {}, which all its pools share, leaves {}.",
            counted(wanted(record), "worker"),
            record.tenant,
            terms.tenant_share
        ),
        Binding::FairShare => format!(
            "{} are wanted, and the cluster is short of room: the share of tenant {} leaves {}.",
            counted(wanted(record), "worker"),
            record.tenant,
            terms.tenant_share
        ),
        Binding::DownWindow => format!(
            "{desired} were needed within the last {}; the load now needs {}. A worker leaves when none was needed \
             in its place for that long.",
            window(pool),
            terms.react
        ),
        Binding::DownRate => format!(
            "The pool is shrinking to {}: at most {} of its workers leave within a minute, but always one may.",
            terms.react.max(terms.floor).min(terms.ceiling),
            pool.map_or_else(
                || "maxDownPercentPerMinute".to_owned(),
                |pool| format!("{} %", pool.spec.scaling.max_down_percent_per_minute)
            )
        ),
        Binding::MissingData => format!(
            "{} not heard: nobody knows their load, so no worker leaves.",
            if seen.silent == 1 {
                "1 worker or gateway is".to_owned()
            } else {
                format!("{} workers and gateways are", seen.silent)
            }
        ),
        Binding::ColdWindow => format!(
            "The operator that leads has not watched for {} yet, so no worker leaves; the load needs {}.",
            window(pool),
            terms.react
        ),
        Binding::PromotionHolds => format!(
            "{} {} the pool: no worker leaves until the hold after the window is over; the load alone needs {}.",
            promotions(record),
            if record.promotions.len() > 1 {
                "hold"
            } else {
                "holds"
            },
            terms.react
        ),
        Binding::Busy => format!(
            "The active conversations fill {}, more than the {} that are allowed: no worker with conversations is \
             taken away, and none is added.",
            counted(terms.busy, "worker"),
            terms.ceiling
        ),
        Binding::Suspended => "spec.suspend empties the pool.".to_owned(),
    }
}

fn change(binding: Binding, record: &PoolRecord, pool: Option<&BotPool>) -> String {
    let (tenant, name) = (&record.tenant, &record.pool);
    let scale = format!("kubectl scale -n tenant-{tenant} bp/{name} --replicas=N");
    match binding {
        Binding::Load => format!(
            "For more, raise spec.scaling.headroom or spec.scaling.min; for fewer, lower headroom or \
             spec.scaling.serviceLevel.share. For a while: `{scale}` ({}).",
            manual(pool)
        ),
        Binding::Minimum => {
            format!("For fewer, lower spec.scaling.min; for more, raise it, or for a while `{scale}` ({}).", manual(pool))
        }
        Binding::Override => format!(
            "`kubectl scale -n tenant-{tenant} bp/{name} --replicas=0` releases it at once; another number replaces it ({}).",
            manual(pool)
        ),
        Binding::Promotion | Binding::PromotionHolds => {
            let shown = record.promotions.first().map_or("NAME", |held| held.promotion.as_str());
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
        Binding::DownWindow => {
            "Wait; or shorten spec.scaling.downWindow to let workers leave earlier.".to_owned()
        }
        Binding::DownRate => {
            "Wait; or raise spec.scaling.maxDownPercentPerMinute to let more leave at once.".to_owned()
        }
        Binding::MissingData => format!(
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
            "Set spec.suspend to false: `kubectl patch -n tenant-{tenant} bp/{name} --type=merge -p \
             '{{\"spec\":{{\"suspend\":false}}}}'`."
        ),
    }
}

/// What would be wanted if nothing limited it.
fn wanted(record: &PoolRecord) -> u32 {
    record.terms.react.max(record.terms.plan).max(record.terms.floor)
}

fn promotions(record: &PoolRecord) -> String {
    let names: Vec<_> = record
        .promotions
        .iter()
        .map(|held| held.promotion.as_str())
        .collect();
    match *names {
        [] => "A promotion".to_owned(),
        [name] => format!("Promotion {name}"),
        ref several => format!("Promotions {}", several.join(", ")),
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
