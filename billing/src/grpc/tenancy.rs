//! `Tenancy`: accounts and plans, for the operator alone.

use std::sync::Arc;

use springtide_proto::error::{ApiError, Reason};
use springtide_proto::ids::{TenantId, TenantUid};
use springtide_proto::tenancy::tenancy_server::Tenancy;
use springtide_proto::tenancy::{
    CloseTenantRequest, CloseTenantResponse, PutRatePlanRequest, PutRatePlanResponse, RegisterTenantRequest,
    RegisterTenantResponse,
};
use springtide_runtime::clock::Clock;
use springtide_runtime::identity::{PeerIdentity, SystemRole};
use springtide_runtime::tls::peer_identity;
use tonic::{Request, Response, Status};

use crate::digest::{Digest, canonical_json};
use crate::locale::Locale;
use crate::metering::report::Party;
use crate::metering::retention::KeptDays;
use crate::rating::period::zone_named;
use crate::rating::plan::RatePlan;
use crate::store::{AccountDetails, PlanVersion, PutPlan, Registration, Store};

const MAX_TEXT: usize = 256;
const MAX_PAYMENT_DAYS: u32 = 3_650;
const MAX_SPEC: usize = 1 << 20;

/// The service.
pub struct TenancyService {
    /// Keeps accounts and plans.
    pub store: Store,
    /// Tells when.
    pub clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl Tenancy for TenancyService {
    async fn register_tenant(
        &self,
        request: Request<RegisterTenantRequest>,
    ) -> Result<Response<RegisterTenantResponse>, Status> {
        require_operator(&request)?;
        let details = details_of(request.into_inner())?;
        let registration = self
            .store
            .register(&details, self.clock.now())
            .await
            .map_err(ApiError::from)?;
        if let Some((field, message)) = refusal(registration) {
            return Err(ApiError::new(Reason::FailedPrecondition, message)
                .with_field(field)
                .into());
        }
        let plan = self
            .store
            .newest_plan(&details.rate_plan)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(RegisterTenantResponse {
            rate_plan_found: plan.is_some(),
        }))
    }

    async fn close_tenant(
        &self,
        request: Request<CloseTenantRequest>,
    ) -> Result<Response<CloseTenantResponse>, Status> {
        require_operator(&request)?;
        let uid = TenantUid::parse(request.into_inner().tenant_uid)?;
        let known = self
            .store
            .close_account(uid.as_str(), self.clock.now())
            .await
            .map_err(ApiError::from)?;
        if !known {
            tracing::info!(tenant_uid = %uid, "an account that was never registered is closed");
        }
        Ok(Response::new(CloseTenantResponse {}))
    }

    async fn put_rate_plan(
        &self,
        request: Request<PutRatePlanRequest>,
    ) -> Result<Response<PutRatePlanResponse>, Status> {
        require_operator(&request)?;
        let plan = plan_of(request.into_inner())?;
        match self
            .store
            .put_plan(&plan, self.clock.now())
            .await
            .map_err(ApiError::from)?
        {
            PutPlan::Stored => Ok(Response::new(PutRatePlanResponse {
                digest: plan.digest.to_string(),
            })),
            PutPlan::Changed => {
                let message = format!(
                    "a bill used rate plan {:?}, so it never changes; make another RatePlan, and name it in spec.ratePlan of the \
                     tenants: they change at the next local midnight",
                    plan.name
                );
                Err(ApiError::new(Reason::PlanChanged, message).into())
            }
        }
    }
}

/// What is wrong with a registration, and in which field.
fn refusal(registration: Registration) -> Option<(&'static str, String)> {
    match registration {
        Registration::Done => None,
        Registration::OtherName => {
            let message = "tenant_uid is registered under another name; a new tenant has a new UID";
            Some(("tenant_uid", message.to_owned()))
        }
        Registration::OtherCurrency { from, to, date } => {
            let message = format!(
                "rate_plan has the currency {} and would begin on {date}, in a month that begins in {}; a bill has one \
                 currency: change the plan on the last day of a month, so that it begins with the next",
                to.code(),
                from.code()
            );
            Some(("rate_plan", message))
        }
    }
}

fn require_operator<T>(request: &Request<T>) -> Result<(), ApiError> {
    peer_identity(request)?.require(&PeerIdentity::System(SystemRole::Operator))
}

fn details_of(request: RegisterTenantRequest) -> Result<AccountDetails, ApiError> {
    // Without `..`: a field that is forgotten here would be missing on every bill.
    let RegisterTenantRequest {
        tenant_uid,
        tenant,
        display_name,
        time_zone,
        rate_plan,
        legal_name,
        tax_id,
        billing_email,
        payment_days,
        portal_token_sha256,
        locale,
        usage_days,
    } = request;
    let party = Party {
        tenant_uid: TenantUid::parse(tenant_uid)?,
        tenant: TenantId::parse(tenant)?,
    };
    if zone_named(&time_zone).is_none() {
        return Err(ApiError::invalid(
            "time_zone",
            "time_zone must be an IANA zone such as \"Asia/Shanghai\"",
        ));
    }
    if payment_days > MAX_PAYMENT_DAYS {
        return Err(ApiError::invalid(
            "payment_days",
            format!("payment_days must be at most {MAX_PAYMENT_DAYS}"),
        ));
    }
    let rate_plan = text("rate_plan", rate_plan)?;
    if rate_plan.is_empty() {
        return Err(ApiError::invalid("rate_plan", "rate_plan must name a RatePlan"));
    }
    let usage_kept = KeptDays::new(usage_days).ok_or_else(|| {
        let (least, most) = (KeptDays::LEAST, KeptDays::MOST);
        ApiError::invalid(
            "usage_days",
            format!("usage_days must be 0, or {least} to {most}"),
        )
    })?;
    Ok(AccountDetails {
        usage_kept,
        party,
        display_name: text("display_name", display_name)?,
        time_zone,
        rate_plan,
        legal_name: text("legal_name", legal_name)?,
        tax_id: text("tax_id", tax_id)?,
        billing_email: text("billing_email", billing_email)?,
        payment_days,
        portal_token: Digest::try_from(portal_token_sha256.as_slice()).map_err(|wrong| {
            ApiError::invalid("portal_token_sha256", format!("portal_token_sha256: {wrong}"))
        })?,
        locale: Locale::nearest(&locale),
    })
}

fn plan_of(request: PutRatePlanRequest) -> Result<PlanVersion, ApiError> {
    let PutRatePlanRequest {
        name,
        uid,
        generation,
        spec_json,
    } = request;
    let invalid = |message: String| ApiError::new(Reason::PlanInvalid, message).with_field("spec_json");
    if name.is_empty() || uid.is_empty() {
        return Err(ApiError::invalid(
            "name",
            "name and uid of the RatePlan object are needed",
        ));
    }
    if spec_json.len() > MAX_SPEC {
        return Err(invalid(format!("the plan is longer than {MAX_SPEC} bytes")));
    }
    let spec: serde_json::Value = serde_json::from_str(&spec_json)
        .map_err(|error| invalid(format!("the plan is not JSON: {error}")))?;
    RatePlan::from_json(&spec).map_err(|error| invalid(error.to_string()))?;
    let spec = canonical_json(&spec);
    Ok(PlanVersion {
        name: text("name", name)?,
        uid: text("uid", uid)?,
        generation: i64::try_from(generation)
            .map_err(|_| ApiError::invalid("generation", "generation is too large"))?,
        digest: Digest::of(spec.as_bytes()),
        spec,
    })
}

fn text(field: &str, text: String) -> Result<String, ApiError> {
    if text.chars().count() <= MAX_TEXT && !text.chars().any(char::is_control) {
        Ok(text)
    } else {
        Err(ApiError::invalid(
            field,
            format!("{field} must be at most {MAX_TEXT} printable characters"),
        ))
    }
}
