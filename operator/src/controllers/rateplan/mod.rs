//! RatePlan: handed to billing, which says whether it takes it.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::tenancy::PutRatePlanRequest;

use crate::api::{RatePlan, RatePlanStatus};

use super::apply::{WriteError, apply_status};
use super::conditions::{Finding, Holds, merge};
use super::context::{Context, reference};

/// An accepted plan is handed over again after this, in case billing lost it.
const SAFETY: Duration = Duration::from_mins(10);
const KIND: &str = "rateplan";

/// Why a plan could not be reconciled.
#[derive(Debug, thiserror::Error)]
pub enum RatePlanError {
    /// The spec cannot be written as JSON.
    #[error("the plan cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The cluster could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Billing was not reached.
    #[error("billing did not take the plan")]
    Billing(#[source] ApiError),
}

/// Makes billing agree with one plan.
#[tracing::instrument(skip_all, fields(plan = plan.name_any()))]
pub async fn reconcile(plan: Arc<RatePlan>, context: Arc<Context>) -> Result<Action, RatePlanError> {
    if plan.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let answer = context.billing.put_rate_plan(request(&plan)?).await;
    update_status(&context, &plan, &answer).await?;
    match answer {
        Ok(_) => {
            context.succeeded(KIND, &plan.name_any());
            Ok(Action::requeue(SAFETY))
        }
        Err(error) if is_final(&error) => Ok(Action::await_change()),
        Err(error) => Err(RatePlanError::Billing(error)),
    }
}

/// Tried again, less and less often.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that controllers call"
)]
pub fn error_policy(plan: Arc<RatePlan>, error: &RatePlanError, context: Arc<Context>) -> Action {
    context
        .metrics
        .failures
        .get_or_create(&super::metrics::KindLabels { kind: KIND })
        .inc();
    tracing::warn!(plan = plan.name_any(), error = ?error, "reconcile failed");
    Action::requeue(context.backoff(KIND, &plan.name_any()))
}

/// Billing will say the same until the plan is edited.
fn is_final(error: &ApiError) -> bool {
    matches!(
        error.reason,
        Reason::PlanInvalid | Reason::PlanChanged | Reason::InvalidArgument
    )
}

fn request(plan: &RatePlan) -> Result<PutRatePlanRequest, serde_json::Error> {
    Ok(PutRatePlanRequest {
        name: plan.name_any(),
        uid: plan.uid().unwrap_or_default(),
        generation: plan
            .metadata
            .generation
            .and_then(|generation| u64::try_from(generation).ok())
            .unwrap_or(0),
        spec_json: serde_json::to_string(&plan.spec)?,
    })
}

async fn update_status(
    context: &Context,
    plan: &RatePlan,
    answer: &Result<String, ApiError>,
) -> Result<(), WriteError> {
    let known = plan.status.clone().unwrap_or_default();
    let (finding, digest) = match answer {
        Ok(digest) => {
            let finding = Finding::good("Accepted", true, "Accepted", "billing stored the plan");
            (finding, Some(digest.clone()))
        }
        Err(error) if is_final(error) => {
            let finding = Finding::good("Accepted", false, error.reason.as_str(), error.message.clone());
            (finding, known.digest.clone())
        }
        Err(error) => {
            let message = format!("billing was not reached, and is asked again: {}", error.message);
            (
                Finding::good("Accepted", Holds::Unknown, error.reason.as_str(), message),
                known.digest.clone(),
            )
        }
    };
    let (conditions, news) = merge(
        &known.conditions,
        vec![finding],
        plan.metadata.generation,
        context.clock.now(),
    );
    let status = RatePlanStatus { conditions, digest };
    if status != known {
        let plans: Api<RatePlan> = Api::all(context.client.clone());
        apply_status(&plans, &plan.name_any(), &status).await?;
        context.events.publish_news(&reference(plan), &news);
    }
    Ok(())
}
