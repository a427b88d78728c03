//! The stream of one worker.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::{SinkExt as _, Stream, StreamExt as _};
use springtide_proto::error::ApiError;
use springtide_proto::fleet::worker_message::Message;
use springtide_proto::fleet::{WorkerCommand, WorkerLoad, WorkerMessage};
use springtide_runtime::identity::{PeerIdentity, TenantRole};
use tonic::Status;

use super::service::{COMMANDS, Inner, PeerLabels};
use super::{WorkerFacts, WorkerReport};

/// The hello comes within this.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const WORKERS: PeerLabels = PeerLabels { peer: "worker" };

type Out = mpsc::Sender<Result<WorkerCommand, Status>>;

/// Serves the stream until it ends or we no longer lead.
pub(super) async fn serve(
    fleet: Arc<Inner>,
    peer: PeerIdentity,
    mut messages: impl Stream<Item = Result<WorkerMessage, Status>> + Unpin,
    mut out: Out,
) {
    let (facts, lost_leader) = match hello(&peer, &mut messages).await {
        Ok(hello) => hello,
        Err(error) => {
            fleet.metrics.refused.get_or_create(&WORKERS).inc();
            drop(out.send(Err(error.into())).await);
            return;
        }
    };
    let mut is_open = fleet.open();
    fleet.open_or_known(&mut is_open, &lost_leader).await;
    if !*is_open.borrow_and_update() {
        drop(out.send(Ok(fleet.worker_turned_away())).await);
        return;
    }
    let (commands, mut queue) = mpsc::channel(COMMANDS);
    let attached = fleet.with_book(|book| book.attach_worker(facts.clone(), commands, fleet.now()));
    let attachment = match attached {
        Some(Ok(attachment)) => attachment,
        Some(Err(nonsense)) => {
            fleet.refuse(&WORKERS, &facts.pod, &nonsense);
            drop(
                out.send(Err(Status::invalid_argument(nonsense.to_string())))
                    .await,
            );
            return;
        }
        None => {
            drop(out.send(Ok(fleet.worker_turned_away())).await);
            return;
        }
    };
    fleet.metrics.attached.get_or_create(&WORKERS).inc();
    tracing::info!(pool = %facts.key, pod = %facts.pod, "worker attached");
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
        drop(out.send(Ok(fleet.worker_turned_away())).await);
    }
    tracing::info!(pool = %facts.key, pod = %facts.pod, "worker's stream ended");
    fleet.with_book(|book| book.detach_worker(&facts, attachment));
    fleet.step(&facts.key);
}

async fn hello(
    peer: &PeerIdentity,
    messages: &mut (impl Stream<Item = Result<WorkerMessage, Status>> + Unpin),
) -> Result<(WorkerFacts, String), ApiError> {
    let missing = || ApiError::invalid("hello", "a stream begins with a hello");
    let first = tokio::time::timeout(HELLO_TIMEOUT, messages.next())
        .await
        .map_err(|_| missing())?;
    let Some(Ok(WorkerMessage {
        message: Some(Message::Hello(hello)),
    })) = first
    else {
        return Err(missing());
    };
    let lost_leader = hello.lost_leader.clone();
    let facts = WorkerFacts::from_wire(hello)?;
    peer.require(&PeerIdentity::tenant(&facts.key.tenant, TenantRole::Worker))?;
    Ok((facts, lost_leader))
}

fn take(fleet: &Arc<Inner>, facts: &WorkerFacts, attachment: u64, message: WorkerMessage) {
    match message.message {
        Some(Message::Load(load)) => report(fleet, facts, attachment, load),
        Some(Message::CordonAcknowledged(acknowledged)) => {
            // Without an epoch it is one that was never given.
            let epoch = acknowledged.epoch.unwrap_or_default().into();
            let taken = fleet.with_book(|book| book.cordon_acknowledged(facts, attachment, epoch));
            if let Some(Err(nonsense)) = taken {
                fleet.refuse(&WORKERS, &facts.pod, &nonsense);
            }
        }
        Some(Message::Refused(refused)) => {
            tracing::warn!(pod = %facts.pod, ?refused, "worker refused a command");
        }
        Some(Message::Hello(_)) | None => {
            fleet.metrics.refused.get_or_create(&WORKERS).inc();
        }
    }
}

fn report(fleet: &Arc<Inner>, facts: &WorkerFacts, attachment: u64, load: WorkerLoad) {
    let report = match WorkerReport::from_wire(load, facts.capacity, fleet.settings.clock.now()) {
        Ok(report) => report,
        Err(error) => return fleet.refuse(&WORKERS, &facts.pod, &error),
    };
    let now = fleet.now();
    let consequences = match fleet.with_book(|book| book.report(facts, attachment, report, now)) {
        Some(Ok(consequences)) => consequences,
        Some(Err(nonsense)) => return fleet.refuse(&WORKERS, &facts.pod, &nonsense),
        None => return,
    };
    if consequences.probe {
        probe(fleet.clone(), facts.clone());
    }
    if consequences.step {
        fleet.step(&facts.key);
    }
}

fn probe(fleet: Arc<Inner>, facts: WorkerFacts) {
    tokio::spawn(async move {
        let answered = match (&fleet.settings.prober, fleet.tenant_uid(&facts.key.tenant)) {
            (Some(prober), Some(uid)) => prober.until_answered(&facts, &uid).await,
            (Some(_), None) => false,
            (None, _) => true,
        };
        let now = fleet.now();
        fleet.with_book(|book| book.probed(&facts, answered, now));
        fleet.step(&facts.key);
    });
}
