//! `Metering.Report`: for the workers and gateways of tenants; `ReportMinutes`: see [`super::minutes`].

use std::sync::Arc;

use springtide_proto::error::{ApiError, Reason};
use springtide_proto::metering::metering_server::Metering;
use springtide_proto::metering::record_result::Status as WireStatus;
use springtide_proto::metering::{
    RecordResult, ReportMinutesRequest, ReportMinutesResponse, ReportRequest, ReportResponse,
};
use springtide_runtime::clock::Clock;
use springtide_runtime::identity::{PeerIdentity, refused};
use springtide_runtime::tls::peer_identity;
use tonic::{Request, Response, Status};

use crate::metering::examine::{Reporter, examine};
use crate::metering::report::Verdict;
use crate::metering::writer::UsageWriter;
use crate::metrics::Metrics;
use crate::store::Store;

/// Most records of a call.
pub const MAX_RECORDS: usize = 10_000;

/// The service.
pub struct MeteringService {
    /// Makes batches durable.
    pub writer: UsageWriter,
    /// Tells what lies ahead.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub metrics: Metrics,
    /// Takes minutes of service.
    pub store: Store,
}

#[tonic::async_trait]
impl Metering for MeteringService {
    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let peer = reporter_of(&peer_identity(&request)?)?;
        let ReportRequest { records } = request.into_inner();
        if !(1..=MAX_RECORDS).contains(&records.len()) {
            let message = format!("records must be 1 to {MAX_RECORDS}, not {}", records.len());
            return Err(ApiError::invalid("records", message).into());
        }
        let now = self.clock.now();
        let examined = records
            .into_iter()
            .map(|record| examine(record, &peer, now))
            .collect();
        let verdicts = self
            .writer
            .write(examined)
            .await
            .inspect_err(|_| self.metrics.report_failed())?;
        Ok(Response::new(ReportResponse {
            results: verdicts.into_iter().map(result_of).collect(),
        }))
    }

    async fn report_minutes(
        &self,
        request: Request<ReportMinutesRequest>,
    ) -> Result<Response<ReportMinutesResponse>, Status> {
        let peer = peer_identity(&request)?;
        let results =
            super::minutes::take(&self.store, request.into_inner(), &peer, self.clock.now()).await?;
        Ok(Response::new(ReportMinutesResponse { results }))
    }
}

fn reporter_of(identity: &PeerIdentity) -> Result<Reporter, ApiError> {
    match identity {
        PeerIdentity::Tenant { tenant, role } => Ok(Reporter {
            tenant: tenant.clone(),
            role: *role,
        }),
        PeerIdentity::System(_) => Err(refused()),
    }
}

fn result_of(verdict: Verdict) -> RecordResult {
    let plain = |status: WireStatus| RecordResult {
        status: status.into(),
        ..RecordResult::default()
    };
    match verdict {
        Verdict::Accepted => plain(WireStatus::Accepted),
        Verdict::Duplicate => plain(WireStatus::Duplicate),
        Verdict::Variant => plain(WireStatus::Variant),
        Verdict::Conflict => RecordResult {
            reason: Reason::EventConflict.as_str().to_owned(),
            message: "another event of this identity is known; the first one stands".to_owned(),
            ..plain(WireStatus::Conflict)
        },
        Verdict::Rejected(reason, message) => RecordResult {
            reason: reason.as_str().to_owned(),
            message,
            ..plain(WireStatus::Rejected)
        },
    }
}
