//! `Metering`: for the workers and gateways of tenants, by the batch or as a stream of batches; `ReportMinutes`: see
//! [`super::minutes`].

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use springtide_proto::error::ApiError;
use springtide_proto::metering::metering_server::Metering;
use springtide_proto::metering::record_result::Status as WireStatus;
use springtide_proto::metering::{
    Record, RecordResult, ReportMinutesRequest, ReportMinutesResponse, ReportRequest, ReportResponse,
};
use springtide_runtime::clock::Clock;
use springtide_runtime::identity::{PeerIdentity, refused};
use springtide_runtime::tls::peer_identity;
use tonic::{Request, Response, Status, Streaming};

use crate::at_length::at_length;
use crate::metering::MAX_RECORDS;
use crate::metering::examine::{Reporter, examine};
use crate::metering::report::{Verdict, answer_of};
use crate::metering::writer::UsageWriter;
use crate::metrics::Metrics;
use crate::store::Store;

/// Batches of a stream that are on their way to the disk at a time.
const AHEAD: usize = 2;

/// The service.
#[derive(Clone)]
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
        Ok(Response::new(self.take(request.into_inner(), &peer).await?))
    }

    type ReportStreamStream = BoxStream<'static, Result<ReportResponse, Status>>;

    async fn report_stream(
        &self,
        request: Request<Streaming<ReportRequest>>,
    ) -> Result<Response<Self::ReportStreamStream>, Status> {
        let peer = reporter_of(&peer_identity(&request)?)?;
        let service = self.clone();
        let answers = request
            .into_inner()
            .map(move |batch| {
                let (service, peer) = (service.clone(), peer.clone());
                async move { Ok(service.take(batch?, &peer).await?) }
            })
            .buffered(AHEAD);
        Ok(Response::new(answers.boxed()))
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

impl MeteringService {
    /// Makes a batch durable; a result for each record.
    async fn take(&self, request: ReportRequest, peer: &Reporter) -> Result<ReportResponse, ApiError> {
        let ReportRequest { records } = request;
        if !(1..=MAX_RECORDS).contains(&records.len()) {
            let message = format!("records must be 1 to {MAX_RECORDS}, not {}", records.len());
            return Err(ApiError::invalid("records", message));
        }
        let now = self.clock.now();
        let examine_all = |records: Vec<Record>| -> Vec<_> {
            let records = records.into_iter();
            records.map(|record| examine(record, peer, now)).collect()
        };
        let examined = if UsageWriter::is_small(records.len()) {
            examine_all(records)
        } else {
            at_length(|| examine_all(records))
        };
        let verdicts = self
            .writer
            .write(examined)
            .await
            .inspect_err(|_| self.metrics.report_failed())?;
        Ok(ReportResponse {
            results: verdicts.iter().map(result_of).collect(),
        })
    }
}

fn reporter_of(identity: &PeerIdentity) -> Result<Reporter, ApiError> {
    match identity {
        PeerIdentity::Tenant { tenant, role } => Ok(Reporter {
            tenant: tenant.clone(),
            role: Some(*role),
        }),
        PeerIdentity::System(_) => Err(refused()),
    }
}

fn result_of(verdict: &Verdict) -> RecordResult {
    let status = match verdict {
        Verdict::Accepted => WireStatus::Accepted,
        Verdict::Duplicate => WireStatus::Duplicate,
        Verdict::Variant => WireStatus::Variant,
        Verdict::Conflict => WireStatus::Conflict,
        Verdict::Rejected(..) => WireStatus::Rejected,
    };
    let (reason, message) = answer_of(verdict).unwrap_or_default();
    RecordResult {
        status: status.into(),
        reason: reason.to_owned(),
        message,
    }
}
