//! The stream of one gateway.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::{SinkExt as _, Stream, StreamExt as _};
use springtide_proto::error::ApiError;
use springtide_proto::fleet::gateway_message::Message;
use springtide_proto::fleet::{GatewayCommand, GatewayLoad, GatewayMessage};
use springtide_runtime::identity::{PeerIdentity, TenantRole};
use tonic::Status;

use super::service::{COMMANDS, Inner, PeerLabels};
use super::{GatewayFacts, GatewayReport, PoolKey};

/// The hello comes within this.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const GATEWAYS: PeerLabels = PeerLabels { peer: "gateway" };

/// Serves the stream until it ends or we no longer lead.
pub(super) async fn serve(
    fleet: Arc<Inner>,
    peer: PeerIdentity,
    mut messages: impl Stream<Item = Result<GatewayMessage, Status>> + Unpin,
    mut out: mpsc::Sender<Result<GatewayCommand, Status>>,
) {
    let (facts, lost_leader) = match hello(&peer, &mut messages).await {
        Ok(hello) => hello,
        Err(error) => {
            fleet.metrics.refused.get_or_create(&GATEWAYS).inc();
            drop(out.send(Err(error.into())).await);
            return;
        }
    };
    let mut is_open = fleet.open();
    fleet.open_or_known(&mut is_open, &lost_leader).await;
    if !*is_open.borrow_and_update() {
        drop(out.send(Ok(fleet.gateway_turned_away())).await);
        return;
    }
    let (commands, mut queue) = mpsc::channel(COMMANDS);
    let Some(attachment) = fleet.with_book(|book| book.attach_gateway(facts.clone(), commands, fleet.now()))
    else {
        drop(out.send(Ok(fleet.gateway_turned_away())).await);
        return;
    };
    fleet.metrics.attached.get_or_create(&GATEWAYS).inc();
    tracing::info!(tenant = %facts.tenant, pod = %facts.pod, "gateway attached");
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(Ok(message)) => take(&fleet, &facts, attachment, message),
                Some(Err(_)) | None => break,
            },
            command = queue.next() => match command {
                Some(command) => if out.send(Ok(command)).await.is_err() { break },
                // Another stream took this one's place, or it did not take its commands.
                None => break,
            },
            changed = is_open.changed() => if changed.is_err() || !*is_open.borrow_and_update() { break },
        }
    }
    // The end of the term also ends the commands: whichever was seen first, the peer is told.
    if !*is_open.borrow() {
        drop(out.send(Ok(fleet.gateway_turned_away())).await);
    }
    tracing::info!(tenant = %facts.tenant, pod = %facts.pod, "gateway's stream ended");
    fleet.with_book(|book| book.detach_gateway(&facts, attachment));
    for pool in &facts.pools {
        fleet.step(&PoolKey {
            tenant: facts.tenant.clone(),
            pool: pool.clone(),
        });
    }
}

async fn hello(
    peer: &PeerIdentity,
    messages: &mut (impl Stream<Item = Result<GatewayMessage, Status>> + Unpin),
) -> Result<(GatewayFacts, String), ApiError> {
    let missing = || ApiError::invalid("hello", "a stream begins with a hello");
    let first = tokio::time::timeout(HELLO_TIMEOUT, messages.next())
        .await
        .map_err(|_| missing())?;
    let Some(Ok(GatewayMessage {
        message: Some(Message::Hello(hello)),
    })) = first
    else {
        return Err(missing());
    };
    let lost_leader = hello.lost_leader.clone();
    let facts = GatewayFacts::from_wire(hello)?;
    peer.require(&PeerIdentity::tenant(&facts.tenant, TenantRole::Gateway))?;
    Ok((facts, lost_leader))
}

fn take(fleet: &Arc<Inner>, facts: &GatewayFacts, attachment: u64, message: GatewayMessage) {
    match message.message {
        Some(Message::Load(load)) => report(fleet, facts, attachment, load),
        Some(Message::Refused(refused)) => {
            tracing::warn!(pod = %facts.pod, ?refused, "gateway refused a command");
        }
        Some(Message::Hello(_)) | None => {
            fleet.metrics.refused.get_or_create(&GATEWAYS).inc();
        }
    }
}

fn report(fleet: &Arc<Inner>, facts: &GatewayFacts, attachment: u64, load: GatewayLoad) {
    let checked = GatewayReport::from_wire(load, fleet.settings.clock.now()).and_then(|report| {
        let known = facts.pools.contains(&report.pool);
        if known {
            Ok(report)
        } else {
            Err(ApiError::invalid("pool", "a pool that the hello did not name"))
        }
    });
    let report = match checked {
        Ok(report) => report,
        Err(error) => return fleet.refuse(&GATEWAYS, &facts.pod, &error),
    };
    let key = PoolKey {
        tenant: facts.tenant.clone(),
        pool: report.pool.clone(),
    };
    let now = fleet.now();
    match fleet.with_book(|book| book.gateway_report(facts, attachment, report, now)) {
        Some(Ok(true)) => fleet.step(&key),
        Some(Err(nonsense)) => fleet.refuse(&GATEWAYS, &facts.pod, &nonsense),
        Some(Ok(false)) | None => {}
    }
}
