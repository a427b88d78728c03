//! The keeper with a spool on disk, and a billing that takes minutes or is away.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;
use springtide_proto::ids::{BootId, PodName, PodUid, PoolId};
use springtide_proto::metering::metering_server::{Metering, MeteringServer};
use springtide_proto::metering::{ReportRequest, ReportResponse};
use springtide_proto::time::timestamp_from_wire;
use springtide_runtime::clock::ManualClock;
use tonic::{Request, Response, Status as RpcStatus, Streaming};

use super::*;
use crate::service::Served;
use crate::service::book::Book;

/// Billing, played: minutes as (time, boot id, good), in the order in which they came.
#[derive(Clone, Default)]
struct Billing {
    taken: Arc<Mutex<Vec<(String, String, u64)>>>,
    away: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl Metering for Billing {
    async fn report(&self, _: Request<ReportRequest>) -> Result<Response<ReportResponse>, RpcStatus> {
        Err(RpcStatus::unimplemented("minutes alone"))
    }

    type ReportStreamStream = tokio_stream::Empty<Result<ReportResponse, RpcStatus>>;

    async fn report_stream(
        &self,
        _: Request<Streaming<ReportRequest>>,
    ) -> Result<Response<Self::ReportStreamStream>, RpcStatus> {
        Err(RpcStatus::unimplemented("minutes alone"))
    }

    async fn report_minutes(
        &self,
        request: Request<ReportMinutesRequest>,
    ) -> Result<Response<ReportMinutesResponse>, RpcStatus> {
        if self.away.load(Ordering::Relaxed) {
            return Err(RpcStatus::unavailable("away"));
        }
        let minutes = request.into_inner().minutes;
        let result = RecordResult {
            status: Status::Accepted.into(),
            ..RecordResult::default()
        };
        let results = vec![result; minutes.len()];
        self.taken.lock().extend(minutes.into_iter().map(|minute| {
            let time = timestamp_from_wire(minute.minute, "minute").unwrap();
            (time.strftime("%H:%M").to_string(), minute.boot_id, minute.good)
        }));
        Ok(Response::new(ReportMinutesResponse { results }))
    }
}

async fn serve(billing: &Billing) -> Channel {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_service(MeteringServer::new(billing.clone()));
    tokio::spawn(server.serve_with_incoming(incoming));
    Channel::from_shared(address).unwrap().connect_lazy()
}

fn at(time: &str) -> Timestamp {
    format!("2026-11-11T{time}Z").parse().unwrap()
}

fn web() -> PoolId {
    PoolId::parse("web").unwrap()
}

async fn keeper(folder: &Path, boot_id: &str, billing: Channel) -> MinuteKeeper {
    let boot_id = BootId::parse(boot_id).unwrap();
    let spool = Spool::open(folder).await.unwrap();
    spool.close_minutes_of_others(&boot_id).await.unwrap();
    let book = Book::new(boot_id.clone(), vec![web()], Duration::from_secs(35));
    MinuteKeeper {
        minutes: Arc::new(ServiceMinutes::new(book, Duration::from_secs(1))),
        spool,
        billing,
        tenant: TenantId::parse("acme").unwrap(),
        tenant_uid: TenantUid::parse("uid").unwrap(),
        pod: PodIdentity {
            name: PodName::parse("gateway-0").unwrap(),
            uid: PodUid::parse("pod").unwrap(),
            boot_id,
            node: String::new(),
        },
        clock: Arc::new(ManualClock::new(at("10:00:00"))),
        closed: Arc::new(Notify::new()),
    }
}

/// As each second does.
async fn tick(keeper: &MinuteKeeper, time: &str, served: u64) {
    keeper.minutes.book(|book| {
        book.lived(at(time));
        (0..served).for_each(|_| book.count(&web(), at(time), Served::Fast));
        book.close(at(time));
    });
    keeper.keep_once().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_minute_reaches_billing_once_though_the_gateway_is_killed_and_billing_away() {
    let (folder, billing) = (tempfile::tempdir().unwrap(), Billing::default());
    let channel = serve(&billing).await;
    let killed = keeper(folder.path(), "one", channel.clone()).await;
    tick(&killed, "10:00:10", 2).await;
    tick(&killed, "10:01:10", 0).await;
    assert_eq!(
        killed.report_once().await.unwrap(),
        0,
        "the first may still be counted"
    );
    drop(killed);

    let next = keeper(folder.path(), "two", channel).await;
    tick(&next, "10:01:20", 1).await;
    tick(&next, "10:02:34", 0).await;
    billing.away.store(true, Ordering::Relaxed);
    assert!(next.report_once().await.is_err());
    billing.away.store(false, Ordering::Relaxed);
    assert_eq!(next.report_once().await.unwrap(), 2);
    tick(&next, "10:02:36", 0).await;
    assert_eq!(next.report_once().await.unwrap(), 1);
    assert_eq!(next.report_once().await.unwrap(), 0);
    let taken = |time: &str, boot: &str, good| (time.to_owned(), boot.to_owned(), good);
    let expected = [
        taken("10:00", "one", 2),
        taken("10:01", "one", 0),
        taken("10:01", "two", 1),
    ];
    assert_eq!(*billing.taken.lock(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_ends_takes_all_its_minutes_to_billing_before() {
    let (folder, billing) = (tempfile::tempdir().unwrap(), Billing::default());
    let keeper = keeper(folder.path(), "one", serve(&billing).await).await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(keeper.clone().run(shutdown.clone()));
    tick(&keeper, "10:00:00", 3).await;
    assert!(keeper.flush(Duration::from_secs(10)).await);
    assert_eq!(*billing.taken.lock(), [("10:00".to_owned(), "one".to_owned(), 3)]);
    shutdown.cancel();
    running.await.unwrap();
}
