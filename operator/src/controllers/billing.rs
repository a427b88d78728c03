//! Billing, as the controllers need it.

use std::time::Duration;

use springtide_proto::error::ApiError;
use springtide_proto::metering::ReportMinutesRequest;
use springtide_proto::metering::metering_client::MeteringClient;
use springtide_proto::tenancy::tenancy_client::TenancyClient;
use springtide_proto::tenancy::{CloseTenantRequest, PutRatePlanRequest, RegisterTenantRequest};
use tonic::Request;
use tonic::transport::Channel;

/// No call takes longer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Accounts and plans.
#[tonic::async_trait]
pub trait Billing: Send + Sync + 'static {
    /// Makes or updates an account; `true` if its plan is known.
    async fn register_tenant(&self, request: RegisterTenantRequest) -> Result<bool, ApiError>;
    /// Closes an account.
    async fn close_tenant(&self, tenant_uid: &str) -> Result<(), ApiError>;
    /// Stores a plan; its digest.
    async fn put_rate_plan(&self, request: PutRatePlanRequest) -> Result<String, ApiError>;
    /// Reports bad minutes of a public door; taken or refused for good when this is `Ok`.
    async fn report_minutes(&self, request: ReportMinutesRequest) -> Result<(), ApiError>;
}

/// Billing over gRPC.
#[derive(Clone)]
pub struct RemoteBilling {
    client: TenancyClient<Channel>,
    metering: MeteringClient<Channel>,
}

impl RemoteBilling {
    /// Over a channel that accepts only billing.
    pub fn new(channel: Channel) -> Self {
        Self {
            client: TenancyClient::new(channel.clone()),
            metering: MeteringClient::new(channel),
        }
    }
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(TIMEOUT);
    request
}

#[tonic::async_trait]
impl Billing for RemoteBilling {
    async fn register_tenant(&self, request: RegisterTenantRequest) -> Result<bool, ApiError> {
        let answer = self.client.clone().register_tenant(timed(request)).await;
        answer
            .map(|response| response.into_inner().rate_plan_found)
            .map_err(|status| ApiError::from_status(&status))
    }

    async fn close_tenant(&self, tenant_uid: &str) -> Result<(), ApiError> {
        let request = CloseTenantRequest {
            tenant_uid: tenant_uid.to_owned(),
        };
        let answer = self.client.clone().close_tenant(timed(request)).await;
        answer.map(drop).map_err(|status| ApiError::from_status(&status))
    }

    async fn put_rate_plan(&self, request: PutRatePlanRequest) -> Result<String, ApiError> {
        let answer = self.client.clone().put_rate_plan(timed(request)).await;
        answer
            .map(|response| response.into_inner().digest)
            .map_err(|status| ApiError::from_status(&status))
    }

    async fn report_minutes(&self, request: ReportMinutesRequest) -> Result<(), ApiError> {
        let answer = self.metering.clone().report_minutes(timed(request)).await;
        answer.map(drop).map_err(|status| ApiError::from_status(&status))
    }
}
