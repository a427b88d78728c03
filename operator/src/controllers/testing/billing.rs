//! Billing in memory.

use parking_lot::Mutex;
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::metering::ReportMinutesRequest;
use springtide_proto::tenancy::{PutRatePlanRequest, RegisterTenantRequest};

use crate::controllers::billing::Billing;

/// Billing that answers as it is told.
#[derive(Default)]
pub(crate) struct FakeBilling {
    pub(crate) error: Mutex<Option<ApiError>>,
    pub(crate) registered: Mutex<Vec<RegisterTenantRequest>>,
    pub(crate) closed: Mutex<Vec<String>>,
    pub(crate) plans: Mutex<Vec<PutRatePlanRequest>>,
    pub(crate) minutes: Mutex<Vec<ReportMinutesRequest>>,
    /// Reports of minutes that were tried, in vain or not.
    pub(crate) minutes_tried: Mutex<usize>,
}

impl FakeBilling {
    pub(crate) fn fail(&self, reason: Reason, message: &str) {
        *self.error.lock() = Some(ApiError::new(reason, message));
    }

    fn answer(&self) -> Result<(), ApiError> {
        self.error.lock().clone().map_or(Ok(()), Err)
    }
}

#[tonic::async_trait]
impl Billing for FakeBilling {
    async fn register_tenant(&self, request: RegisterTenantRequest) -> Result<bool, ApiError> {
        self.registered.lock().push(request);
        self.answer().map(|()| true)
    }

    async fn close_tenant(&self, tenant_uid: &str) -> Result<(), ApiError> {
        self.answer()?;
        self.closed.lock().push(tenant_uid.to_owned());
        Ok(())
    }

    async fn put_rate_plan(&self, request: PutRatePlanRequest) -> Result<String, ApiError> {
        self.plans.lock().push(request);
        self.answer().map(|()| "digest".to_owned())
    }

    async fn report_minutes(&self, request: ReportMinutesRequest) -> Result<(), ApiError> {
        *self.minutes_tried.lock() += 1;
        self.answer()?;
        self.minutes.lock().push(request);
        Ok(())
    }
}
