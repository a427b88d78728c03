//! The conditions of a promotion.

use jiff::Timestamp;

use crate::autoscale::{BaselineFrom, BoostBase, Bound, HeldTo, Phase};
use crate::controllers::conditions::{Finding, Holds, whole_seconds};
use crate::names::tenant_namespace;

use super::build::{Prepared, Wish};
use super::validate::{Pools, Valid};

const PREWARM_READY: &str = "PrewarmReady";
/// So many pools are named in a sentence.
const NAMED: usize = 8;

pub(super) fn findings(valid: &Valid, prepared: &Prepared, now: Timestamp) -> Vec<Finding> {
    let mut findings = vec![
        prewarm_ready(prepared, now),
        active(prepared),
        pools_found(valid, prepared),
    ];
    findings.extend(baseline_learned(valid, prepared));
    findings
}

/// Says that nothing can be done until the promotion is edited.
pub(super) fn invalid(message: &str) -> Finding {
    Finding::neutral(PREWARM_READY, false, "Invalid", message)
}

/// Ready, or how much is missing and until when, which is known before the window opens.
pub(super) fn prewarm_ready(prepared: &Prepared, now: Timestamp) -> Finding {
    match prepared.phase {
        Phase::Over => {
            return Finding::neutral(PREWARM_READY, Holds::Unknown, "Over", "the promotion is over");
        }
        Phase::CoolingDown => {
            let message = "the window has closed; what was held for it is let go";
            return Finding::neutral(PREWARM_READY, Holds::Unknown, "CoolingDown", message);
        }
        Phase::Waiting | Phase::Prewarming | Phase::Open => {}
    }
    if prepared.wishes.is_empty() {
        return Finding::neutral(PREWARM_READY, false, "NoPools", "there is no pool to pre-warm");
    }
    let short = listed(prepared.wishes.iter().filter_map(exceeds));
    if !short.is_empty() {
        return Finding::good(PREWARM_READY, false, "CapacityShort", short);
    }
    let counted = from_last_hour(prepared).map_or_else(String::new, |sentence| format!("; {sentence}"));
    let missing = listed(
        prepared
            .wishes
            .iter()
            .filter_map(|wish| unanswered(prepared, wish)),
    );
    if missing.is_empty() && prepared.phase != Phase::Waiting {
        let message = format!("every worker that is wanted answers{counted}");
        return Finding::good(PREWARM_READY, true, "WorkersAnswer", message);
    }
    let late = |wish: &Wish| wish.expected_at.is_some_and(|at| prepared.is_late(at));
    let message = format!("{missing}{counted}");
    if now >= prepared.course.ready_by || prepared.wishes.iter().any(late) {
        return Finding::good(PREWARM_READY, false, "CapacityShort", message);
    }
    if prepared.phase == Phase::Prewarming {
        return Finding::neutral(PREWARM_READY, false, "Prewarming", message);
    }
    let message = format!(
        "pre-warming begins at {}, and all answer by {}{counted}",
        whole_seconds(prepared.course.prewarm_at),
        whole_seconds(prepared.course.ready_by)
    );
    Finding::neutral(PREWARM_READY, Holds::Unknown, "Waiting", message)
}

/// What limits do not allow, and what would.
fn exceeds(wish: &Wish) -> Option<String> {
    let (short, wanted) = (wish.shortfall(), wish.boosted.wanted);
    let because = match wish.bound {
        Bound::NoPool => return Some(format!("{} does not exist", wish.key)),
        _ if short == 0 => return None,
        Bound::NoTenant => format!("there is no Tenant {}", wish.key.tenant),
        Bound::Suspended => "it is suspended".to_owned(),
        Bound::Maximum(maximum) => {
            format!(
                "its maximum is {maximum}; raise spec.scaling.max of the pool or spec.ceiling of the promotion"
            )
        }
        Bound::Override(HeldTo { workers, until }) => format!(
            "an override holds it to {workers} until {}; release it by `kubectl scale bp {} -n {} --replicas=0`",
            whole_seconds(until),
            wish.key.pool,
            tenant_namespace(wish.key.tenant.as_str())
        ),
        Bound::FairShare(granted) => format!(
            "the cluster is short, and the tenant's share of {granted} leaves {}; add nodes, or raise operator.maxWorkers of the \
             chart or spec.capacity.guaranteed of the Tenant",
            wish.allowed
        ),
        Bound::TenantLimit(limit) => {
            format!(
                "the tenant's limit of {limit} leaves {}; raise spec.capacity.limit of the Tenant",
                wish.allowed
            )
        }
    };
    Some(format!(
        "{} lacks {short} of {wanted} workers: {because}",
        wish.key
    ))
}

fn unanswered(prepared: &Prepared, wish: &Wish) -> Option<String> {
    if !wish.decided {
        return Some(format!("{} is not decided; its Events say why", wish.key));
    }
    let lacks = Some(wish.unanswered()).filter(|lacks| *lacks > 0)?;
    let until = wish.expected_at.map_or_else(String::new, |at| {
        let late = if at > prepared.course.occurrence.start {
            ", after the window opens"
        } else {
            ""
        };
        format!(", expected at {at}{late}")
    });
    Some(format!(
        "{} lacks {lacks} of {} workers{until}",
        wish.key, wish.boosted.wanted
    ))
}

fn active(prepared: &Prepared) -> Finding {
    let open = prepared.phase == Phase::Open;
    let message = match prepared.phase {
        Phase::Waiting | Phase::Prewarming => "the window has not opened",
        Phase::Open => "the window is open",
        Phase::CoolingDown | Phase::Over => "the window has closed",
    };
    Finding::neutral("Active", open, prepared.phase.as_str(), message)
}

fn pools_found(valid: &Valid, prepared: &Prepared) -> Finding {
    let type_ = "PoolsFound";
    if prepared.too_many > 0 {
        let (taken, beyond) = (prepared.wishes.len(), prepared.too_many);
        let message = format!(
            "the selector matches {beyond} pools more than the {taken} that one promotion takes; narrow it, or make a second promotion"
        );
        return Finding::good(type_, false, "TooManyPools", message);
    }
    let missing = prepared.wishes.iter().filter(|wish| wish.bound == Bound::NoPool);
    let missing = listed(missing.map(|wish| wish.key.to_string()));
    match &valid.pools {
        Pools::Labelled(labels) if prepared.wishes.is_empty() => {
            let labels = listed(labels.iter().map(|(name, value)| format!("{name}={value}")));
            let message = format!("no BotPool has the labels {labels}; label one, or change spec.selector");
            Finding::good(type_, false, "NoPools", message)
        }
        _ if !missing.is_empty() => {
            let message = format!("there is no pool {missing}; create it, or take it out of spec.pools");
            Finding::good(type_, false, "PoolMissing", message)
        }
        _ => Finding::good(
            type_,
            true,
            "Found",
            format!("it is for {} pools", prepared.wishes.len()),
        ),
    }
}

/// Whether what the pools learned is what percent counts from, where the promotion asks for that.
fn baseline_learned(valid: &Valid, prepared: &Prepared) -> Option<Finding> {
    let asked = valid.terms.of == BoostBase::SameSlotBaseline;
    let counted = prepared.wishes.iter().any(|wish| wish.baseline.is_some());
    if !asked || !counted {
        return None;
    }
    let type_ = "BaselineLearned";
    Some(match from_last_hour(prepared) {
        Some(message) => Finding::neutral(type_, false, "LastHour", message),
        None => Finding::neutral(
            type_,
            true,
            "SameSlotBaseline",
            "percent counts from the same slots of past weeks in every pool",
        ),
    })
}

/// The pools of which the same slots of the week are not known well enough.
pub(super) fn from_last_hour(prepared: &Prepared) -> Option<String> {
    let unknown = prepared
        .wishes
        .iter()
        .filter(|wish| matches!(wish.baseline, Some((_, BaselineFrom::LastHour))));
    let pools = listed(unknown.map(|wish| wish.key.to_string()));
    (!pools.is_empty()).then(|| {
        format!(
            "percent counts from the highest load of the last hour in {pools}, which has no trusted baseline for these times yet"
        )
    })
}

/// The first few, and how many more there are.
fn listed(sentences: impl Iterator<Item = String>) -> String {
    let all: Vec<_> = sentences.collect();
    let mut text = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if all.len() > NAMED {
        text = format!("{text}; and {} more", all.len() - NAMED);
    }
    text
}
