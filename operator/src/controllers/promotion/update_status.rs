//! Writes what was found, where it changed.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt as _};

use crate::api::{Promotion, PromotionPoolStatus, PromotionStatus};
use crate::autoscale::Phase;
use crate::controllers::apply::{WriteError, apply_status};
use crate::controllers::conditions::{Finding, Holds, merge, whole_seconds};
use crate::controllers::context::{Context, reference};

use super::build::{Prepared, Wish};

pub(super) async fn update_status(
    context: &Context,
    promotion: &Promotion,
    prepared: &Prepared,
    now: Timestamp,
) -> Result<(), WriteError> {
    let known = promotion.status.clone().unwrap_or_default();
    let found = vec![prewarm_ready(prepared, now), active(prepared)];
    let (conditions, news) = merge(&known.conditions, found, promotion.metadata.generation, now);
    let time = |instant| Some(Time(whole_seconds(instant)));
    let status = PromotionStatus {
        conditions,
        phase: prepared.phase.as_str().to_owned(),
        prewarm_at: time(prepared.prewarm_at),
        start: time(prepared.window.start),
        end: time(prepared.window.end),
        pools: prepared
            .wishes
            .iter()
            .map(|wish| pool_status(wish, prepared.phase))
            .collect(),
    };
    if status == known {
        return Ok(());
    }
    let promotions: Api<Promotion> = Api::all(context.client.clone());
    apply_status(&promotions, &promotion.name_any(), &status).await?;
    let object = reference(promotion);
    context.events.publish_news(&object, &news);
    if known.phase != status.phase {
        let (reason, note) = phase_event(prepared.phase);
        context.events.publish(&object, false, reason, note);
    }
    Ok(())
}

fn pool_status(wish: &Wish, phase: Phase) -> PromotionPoolStatus {
    PromotionPoolStatus {
        tenant: wish.key.tenant.to_string(),
        pool: wish.key.pool.to_string(),
        baseline: wish.baseline.filter(|_| phase != Phase::Waiting),
        wanted: wish.wanted,
        ready: wish.ready,
    }
}

/// Ready, or how much is missing, which is known before the window opens.
pub(super) fn prewarm_ready(prepared: &Prepared, now: Timestamp) -> Finding {
    let type_ = "PrewarmReady";
    if let Some(wish) = prepared.wishes.iter().find(|wish| wish.allowed.is_none()) {
        return Finding::good(
            type_,
            false,
            "PoolMissing",
            format!("there is no pool {}; create it", wish.key),
        );
    }
    let short = prepared
        .wishes
        .iter()
        .filter(|wish| wish.allowed.is_some_and(|allowed| wish.wanted > allowed));
    let short: Vec<_> = short
        .map(|wish| {
            let allowed = wish.allowed.unwrap_or(0);
            format!(
                "{} lacks {} of {} workers: its maximum or the tenant's limit allows {allowed}",
                wish.key,
                wish.wanted - allowed,
                wish.wanted
            )
        })
        .collect();
    if !short.is_empty() && prepared.phase != Phase::Over {
        return Finding::good(type_, false, "CapacityShort", short.join("; "));
    }
    let missing = prepared.wishes.iter().filter(|wish| wish.missing() > 0);
    let missing: Vec<_> = missing
        .map(|wish| format!("{} lacks {} of {} workers", wish.key, wish.missing(), wish.wanted))
        .collect();
    match prepared.phase {
        Phase::Waiting => Finding::neutral(type_, Holds::Unknown, "Waiting", "pre-warming has not begun"),
        Phase::Over => Finding::neutral(type_, Holds::Unknown, "Over", "the promotion is over"),
        Phase::Prewarming | Phase::Open if missing.is_empty() => Finding::good(
            type_,
            true,
            "WorkersAnswer",
            "every worker that is wanted answers",
        ),
        Phase::Prewarming if now < prepared.ready_by => {
            Finding::neutral(type_, false, "Prewarming", missing.join("; "))
        }
        Phase::Prewarming | Phase::Open => Finding::good(type_, false, "CapacityShort", missing.join("; ")),
    }
}

fn active(prepared: &Prepared) -> Finding {
    let open = prepared.phase == Phase::Open;
    let message = match prepared.phase {
        Phase::Waiting | Phase::Prewarming => "the window has not opened",
        Phase::Open => "the window is open",
        Phase::Over => "the window has closed",
    };
    Finding::neutral("Active", open, prepared.phase.as_str(), message)
}

fn phase_event(phase: Phase) -> (&'static str, &'static str) {
    match phase {
        Phase::Waiting => ("PromotionPlanned", "its time has not come"),
        Phase::Prewarming => ("PrewarmBegan", "workers are being started for the promotion"),
        Phase::Open => ("PromotionOpened", "the promotion's window opened"),
        Phase::Over => (
            "PromotionEnded",
            "the promotion's window closed; its pools follow their load again",
        ),
    }
}
