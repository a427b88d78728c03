//! Writes what was found, where it changed, and says what is to be said.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt as _};

use crate::api::{Promotion, PromotionPoolStatus, PromotionStatus};
use crate::autoscale::Phase;
use crate::controllers::apply::{WriteError, apply_status};
use crate::controllers::conditions::{Finding, merge, whole_seconds};
use crate::controllers::context::{Context, reference};

use super::announce::Milestone;
use super::build::{Prepared, Wish};
use super::dereference::{Seen, known};
use super::findings::{findings, from_last_hour, invalid, prewarm_ready};
use super::validate::Valid;

pub(super) async fn update_status(
    context: &Context,
    promotion: &Promotion,
    valid: &Valid,
    prepared: &Prepared,
    seen: &Seen,
) -> Result<(), WriteError> {
    let known = &seen.known;
    let found = findings(valid, prepared, seen.now);
    let (conditions, news) = merge(&known.conditions, found, promotion.metadata.generation, seen.now);
    let status = PromotionStatus {
        conditions,
        ..status(prepared)
    };
    if status == *known {
        return Ok(());
    }
    write(context, promotion, &status).await?;
    let object = reference(promotion);
    context.events.publish_news(&object, &news);
    if known.phase != status.phase
        && let Some((reason, note)) = phase_event(prepared)
    {
        context.events.publish(&object, false, reason, &note);
    }
    if let Some(milestone) = prepared.due.last() {
        let (reason, note) = milestone_event(*milestone, prepared, seen.now);
        let alarming = prewarm_ready(prepared, seen.now).alarming;
        context.events.publish(&object, alarming, reason, &note);
    }
    Ok(())
}

/// Says in status, where it stays, that nothing can be done until the promotion is edited.
pub(super) async fn say_invalid(
    context: &Context,
    promotion: &Promotion,
    message: &str,
    now: Timestamp,
) -> Result<(), WriteError> {
    let known = known(context, promotion);
    let found: Vec<Finding> = vec![invalid(message)];
    let (found, _) = merge(&known.conditions, found, promotion.metadata.generation, now);
    let others = known.conditions.iter();
    let others = others.filter(|condition| found.iter().all(|new| new.type_ != condition.type_));
    let conditions = found.iter().chain(others).cloned().collect();
    let status = PromotionStatus {
        conditions,
        ..known.clone()
    };
    if status == known {
        return Ok(());
    }
    write(context, promotion, &status).await
}

async fn write(context: &Context, promotion: &Promotion, status: &PromotionStatus) -> Result<(), WriteError> {
    let promotions: Api<Promotion> = Api::all(context.client.clone());
    apply_status(&promotions, &promotion.name_any(), status).await?;
    let uid = promotion.metadata.uid.clone().unwrap_or_default();
    context.live.wrote(&uid, status.clone(), context.fleet.now());
    Ok(())
}

fn status(prepared: &Prepared) -> PromotionStatus {
    let time = |instant| Some(Time(whole_seconds(instant)));
    let total = |of: fn(&Wish) -> u32| {
        prepared
            .wishes
            .iter()
            .fold(0_u32, |sum, wish| sum.saturating_add(of(wish)))
    };
    PromotionStatus {
        conditions: Vec::new(),
        phase: prepared.phase.as_str().to_owned(),
        prewarm_at: time(prepared.course.prewarm_at),
        start: time(prepared.course.occurrence.start),
        end: time(prepared.course.occurrence.end),
        wanted: total(|wish| wish.boosted.wanted),
        ready: total(|wish| wish.ready.min(wish.boosted.wanted)),
        announced: prepared.announced.clone(),
        pools: prepared.wishes.iter().map(pool_status).collect(),
    }
}

fn pool_status(wish: &Wish) -> PromotionPoolStatus {
    PromotionPoolStatus {
        tenant: wish.key.tenant.to_string(),
        pool: wish.key.pool.to_string(),
        baseline: wish.baseline.map(|(load, _)| load),
        baseline_from: wish.baseline.map(|(_, from)| from.into()),
        hold_seconds: wish.hold_seconds,
        wanted: wish.boosted.wanted,
        floor: wish.floor,
        ready: wish.ready,
        expected_at: wish.expected_at.map(Time),
        limited_by: wish.limited_by().map(str::to_owned),
    }
}

/// What a change of phase means; the window's opening is said with its milestone.
fn phase_event(prepared: &Prepared) -> Option<(&'static str, String)> {
    match prepared.phase {
        Phase::Waiting => {
            let begins = whole_seconds(prepared.course.prewarm_at);
            Some(("PromotionPlanned", format!("pre-warming begins at {begins}")))
        }
        Phase::Prewarming => {
            let counted =
                from_last_hour(prepared).map_or_else(String::new, |sentence| format!("; {sentence}"));
            let note = format!("workers are being started for the promotion{counted}");
            Some(("PrewarmBegan", note))
        }
        Phase::Open => None,
        Phase::CoolingDown => Some((
            "PromotionCoolsDown",
            "the promotion's window closed; what was held for it is let go step by step".to_owned(),
        )),
        Phase::Over => Some((
            "PromotionEnded",
            "the promotion is over; its pools follow their load again".to_owned(),
        )),
    }
}

fn milestone_event(milestone: Milestone, prepared: &Prepared, now: Timestamp) -> (&'static str, String) {
    let status = status(prepared);
    let (wanted, ready) = (status.wanted, status.ready);
    let counts = format!(
        "{ready} of {wanted} workers answer, {} are missing",
        wanted.saturating_sub(ready)
    );
    let left = prepared.course.occurrence.start.duration_since(now);
    let minutes = (left.as_secs() + 30).div_euclid(60);
    let plural = if minutes == 1 { "" } else { "s" };
    let soon = format!("the window opens in {minutes} minute{plural}: {counts}");
    // Each has a reason of its own: of two Events of one reason, the second may be shown as a repetition of the first.
    match milestone {
        Milestone::Hour => ("PromotionOpensIn60m", soon),
        Milestone::HalfHour => ("PromotionOpensIn30m", soon),
        Milestone::TenMinutes => ("PromotionOpensIn10m", soon),
        Milestone::Open => ("PromotionOpened", format!("the window is open: {counts}")),
    }
}
