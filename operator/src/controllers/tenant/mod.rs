//! Tenant: provisions a client firm, registers it with billing, and takes it down in order.
//!
//! Billing being away holds up no conversation: what is in the cluster is made first, and what billing has to say is a
//! condition and is tried again.

mod apply;
mod build;
mod dereference;
mod finalize;
mod findings;
mod gateways;
mod policies;
#[cfg(test)]
mod tests;
mod update_status;

pub use apply::Done;
pub use build::{LIMIT_CPU, LIMIT_MEMORY};

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use crate::api::Tenant;

use super::apply::WriteError;
use super::context::{Context, reference};
use super::identities::IdentityError;

/// A tenant at which nothing is missing is written again after this or up to twice as long: certificates are renewed then.
const SAFETY: Duration = Duration::from_mins(5);
/// One at which something is missing, after this.
const UNREADY: Duration = Duration::from_secs(5);
const KIND: &str = "tenant";
/// Condition: all that workers and gateways run with is in the tenant's namespace.
pub(super) const IDENTITIES_READY: &str = "IdentitiesReady";

/// Why a tenant could not be reconciled.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// The tenant says something that cannot be done until it is edited.
    #[error("{0}")]
    Invalid(String),
    /// The cluster could not be read.
    #[error("reading the cluster failed")]
    Read(#[source] Box<kube::Error>),
    /// The cluster could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An identity could not be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No random bytes.
    #[error("the machine gives no random bytes")]
    Random,
}

/// Makes the cluster and billing agree with one tenant.
#[tracing::instrument(skip_all, fields(tenant = tenant.name_any()))]
pub async fn reconcile(tenant: Arc<Tenant>, context: Arc<Context>) -> Result<Action, TenantError> {
    if tenant.metadata.deletion_timestamp.is_some() {
        return finalize::finalize(&context, &tenant).await;
    }
    finalize::protect(&context, &tenant).await?;
    let seen = dereference::dereference(&context, &tenant).await?;
    let prepared = build::build(&tenant, &seen, &context.installation)?;
    let applied = apply::unless_done(&context, &tenant, &prepared, &seen).await?;
    let ready = update_status::update_status(&context, &tenant, &seen, &applied).await?;
    context.succeeded(KIND, &tenant.name_any());
    let left = applied
        .until
        .map(|until| until.saturating_sub(context.fleet.now()));
    Ok(Action::requeue(if ready {
        left.unwrap_or(SAFETY)
    } else {
        UNREADY
    }))
}

/// What cannot succeed until it is edited waits for the edit; the rest is tried again, less and less often.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that controllers call"
)]
pub fn error_policy(tenant: Arc<Tenant>, error: &TenantError, context: Arc<Context>) -> Action {
    let name = tenant.name_any();
    context
        .metrics
        .failures
        .get_or_create(&super::metrics::KindLabels { kind: KIND })
        .inc();
    tracing::warn!(tenant = name, error = ?error, "reconcile failed");
    if let TenantError::Invalid(message) = error {
        context
            .events
            .publish(&reference(&*tenant), true, "Invalid", message);
        return Action::await_change();
    }
    Action::requeue(context.backoff(KIND, &name))
}
