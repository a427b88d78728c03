//! Billing, played: it takes every record and hands it on, as often as it comes.

use std::sync::Arc;

use springtide_proto::metering::metering_server::{Metering, MeteringServer};
use springtide_proto::metering::record_result::Status as Taken;
use springtide_proto::metering::{
    Record, RecordResult, ReportMinutesRequest, ReportMinutesResponse, ReportRequest, ReportResponse,
};
use springtide_runtime::tls::TlsMaterial;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

/// Who gets the records. It has them for good when it returns.
pub type Take = Arc<dyn Fn(Vec<Record>) + Send + Sync>;

struct Service(Take);

#[tonic::async_trait]
impl Metering for Service {
    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let ReportRequest { records } = request.into_inner();
        let taken = RecordResult {
            status: Taken::Accepted.into(),
            reason: String::new(),
            message: String::new(),
        };
        let results = vec![taken; records.len()];
        (self.0)(records);
        Ok(Response::new(ReportResponse { results }))
    }

    async fn report_minutes(
        &self,
        _request: Request<ReportMinutesRequest>,
    ) -> Result<Response<ReportMinutesResponse>, Status> {
        Err(Status::unimplemented("gateways of tests keep their minutes"))
    }

    type ReportStreamStream = tokio_stream::Empty<Result<ReportResponse, Status>>;

    async fn report_stream(
        &self,
        _: Request<Streaming<ReportRequest>>,
    ) -> Result<Response<Self::ReportStreamStream>, Status> {
        Err(Status::unimplemented("nobody here reports by a stream"))
    }
}

/// Serves, as long as the process runs; says where.
pub(super) async fn serve(tls: TlsMaterial, take: Take) -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let streams = tls.incoming(listener, CancellationToken::new());
    let serving = tonic::transport::Server::builder()
        .add_service(MeteringServer::new(Service(take)))
        .serve_with_incoming(streams);
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "nobody takes usage any more");
        }
    });
    Ok(address)
}
