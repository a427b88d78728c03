//! A customer's turn, from the door to a reply that is witnessed.
//!
//! The turn goes to the worker that has the conversation, else to one with room, else it waits. When the worker has gone, drains
//! or fails, the conversation goes on at another one from its newest token. Before the reply is handed to the channel, its usage
//! event is in this gateway's spool; whether it reached the customer is settled by the channel ([`Witnessed`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use springtide_proto::conversation::close::Reason::{Finished, Moved};
use springtide_proto::conversation::converse_request::Action;
use springtide_proto::conversation::{AnswerKind, Close, ConverseRequest, Reply, Turn, close};
use springtide_proto::ended::Outcome;
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::ids::{ConversationId, PodUid, PoolId, TenantId, TenantUid, TurnId};
use springtide_proto::metering::Delivery;
use springtide_proto::time::timestamp_to_wire;
use springtide_runtime::spool::Spool;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::config::Channels;
use crate::ending::outcome_after;
use crate::metrics::Metrics;
use crate::pool::{Assignment, Worker};
use crate::rateable::Rateable;
use crate::resume::ResumeToken;
use crate::service::ServiceMinutes;
use crate::sessions::{Session, Sessions};
use crate::shared_pool::SharedPool;
use crate::witnessed::Witnessed;
use crate::workers::{WorkerAnswer, Workers};

/// Longest wait for one worker's answer: then another is tried.
const WORKER_TIMEOUT: Duration = Duration::from_secs(4);
/// A waiting turn looks again after this, told of a change or not.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Pause before workers that refused are tried again.
const RETRY: Duration = Duration::from_millis(50);

/// A customer's message, checked.
#[derive(Clone, Debug)]
pub struct CustomerTurn {
    /// The session.
    pub conversation: ConversationId,
    /// The client's id of the message.
    pub turn: TurnId,
    /// What the customer wrote.
    pub text: String,
    /// The channel it came by.
    pub channel: String,
    /// The client's token.
    pub token: Option<ResumeToken>,
    /// When it reached the door.
    pub arrived_at: Timestamp,
    /// How long it may wait for a worker before its sender is told its position and asks again.
    pub wait: Duration,
}

/// What became of a turn.
#[derive(Debug)]
pub enum Relayed {
    /// Answered.
    Replied(Box<Witnessed>),
    /// It waits; its place is kept for a while.
    Waiting(Place),
}

/// A place in the waiting room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// 1 is next.
    pub position: usize,
    /// By the pace of the last admissions.
    pub estimate: Option<Duration>,
}

/// See the module.
pub struct Relay {
    /// Whose gateway.
    pub tenant: TenantId,
    /// Identity of that tenant.
    pub tenant_uid: TenantUid,
    /// Channels and their pools.
    pub channels: Channels,
    /// Pools, each once.
    pub pools: HashMap<PoolId, SharedPool>,
    /// Conversations.
    pub sessions: Sessions,
    /// Conversations that can be rated here.
    pub rateable: Rateable,
    /// Connections.
    pub workers: Workers,
    /// Second witness.
    pub spool: Spool,
    /// Counts.
    pub metrics: Metrics,
    /// The service that customers get, minute by minute.
    pub minutes: Arc<ServiceMinutes>,
    /// Conversations that are being ended at workers that have them no more.
    pub letting_go: TaskTracker,
    /// Within this an assigned turn is answered.
    pub turn_timeout: Duration,
    /// A conversation that is silent for so long is parked, here and at its worker.
    pub idle_after: Duration,
}

/// A turn under way.
pub struct Exchange {
    /// What becomes of it.
    pub outcome: oneshot::Receiver<Result<Relayed, ApiError>>,
    /// Its place while it waits; position 0 while it does not.
    pub place: watch::Receiver<Place>,
}

enum Next {
    Done(Box<Witnessed>),
    /// Try another worker, with a pause if all were tried.
    Another {
        /// It failed on the way: it may have taken the conversation all the same.
        may_have_it: bool,
    },
}

/// Workers that did not answer a turn.
#[derive(Debug, Default)]
struct Tried {
    /// Not to be tried again yet.
    refused: HashSet<PodUid>,
    /// May have taken the conversation all the same.
    failed: HashSet<PodUid>,
}

impl Relay {
    /// Takes a turn. It goes on to its end even if the channel goes: a turn is never half done.
    pub fn take(self: &Arc<Self>, turn: CustomerTurn) -> Exchange {
        let (done, outcome) = oneshot::channel();
        let (place, places) = watch::channel(Place::default());
        let relay = self.clone();
        tokio::spawn(async move {
            let started = Instant::now();
            let (channel, arrived_at) = (turn.channel.clone(), turn.arrived_at);
            let if_unanswered = relay.if_last(&turn, Outcome::Abandoned);
            let (conversation, id) = (turn.conversation.clone(), turn.turn.clone());
            let outcome = relay.relay(turn, &place, &done).await;
            let took = started.elapsed();
            relay.metrics.turn(label(&outcome), took.as_secs_f64());
            relay.count_service(&channel, arrived_at, &outcome, took);
            if !relay.sessions.was_read(&conversation, &id) {
                relay.note_unanswered(if_unanswered, &outcome).await;
            }
            // Where the channel has gone, dropping the outcome settles it as undelivered.
            drop(done.send(outcome));
        });
        Exchange {
            outcome,
            place: places,
        }
    }

    /// The conversation is over.
    pub async fn close(self: &Arc<Self>, conversation: &ConversationId, token: Option<ResumeToken>) {
        self.end(conversation).await;
        let known = match self.sessions.leave(conversation) {
            Some(session) => session.lock().await.worker.clone(),
            None => None,
        };
        let Some(pod) = known.or(token.map(|token| token.worker)) else {
            return;
        };
        for (id, pool) in &self.pools {
            pool.change(|pool| pool.leave(conversation));
            if pool.look(|pool| pool.worker(&pod, Instant::now()).is_some())
                && self.end_at(conversation, pool, (&pod, Finished)).await.is_err()
            {
                self.let_go(conversation, id, (&pod, Finished));
            }
        }
    }

    /// Tells a worker that it has a conversation no more, and why; a worker that is not known has nothing.
    pub(crate) async fn end_at(
        &self,
        conversation: &ConversationId,
        pool: &SharedPool,
        (pod, reason): (&PodUid, close::Reason),
    ) -> Result<(), ApiError> {
        let Some(address) = pool.look(|pool| pool.address(pod)) else {
            return Ok(());
        };
        let action = Action::Close(Close {
            reason: reason.into(),
        });
        let request = self.request(conversation, action, false);
        let WorkerAnswer { active, .. } = self.workers.converse(&address, request, WORKER_TIMEOUT).await?;
        pool.change(|pool| pool.heard(pod, active));
        Ok(())
    }

    /// A channel that does not exist is the client's own error.
    fn count_service(
        &self,
        channel: &str,
        arrived_at: Timestamp,
        outcome: &Result<Relayed, ApiError>,
        took: Duration,
    ) {
        if let Some((id, pool)) = self
            .channels
            .pool(channel)
            .and_then(|id| self.pools.get_key_value(id))
        {
            let at_contract_limit = pool.look(|pool| pool.at_contract_limit);
            self.minutes
                .count(id, arrived_at, outcome, took, at_contract_limit);
        }
    }

    async fn relay(
        self: &Arc<Self>,
        turn: CustomerTurn,
        place: &watch::Sender<Place>,
        done: &oneshot::Sender<Result<Relayed, ApiError>>,
    ) -> Result<Relayed, ApiError> {
        self.check_spool().await?;
        let unknown = || ApiError::invalid("channel", format!("there is no channel {:?}", turn.channel));
        let pool_id = self.channels.pool(&turn.channel).ok_or_else(unknown)?;
        let pool = self.pools.get(pool_id).ok_or_else(unknown)?;
        let shared = self.sessions.enter(&turn.conversation, pool_id, Instant::now());
        let mut session = shared.lock().await;
        session.take_token(turn.token.clone());
        let mut tried = Tried::default();
        let result = self
            .relay_in_session(&turn, pool, &mut session, place, done, &mut tried)
            .await;
        for pod in tried.failed {
            if session.worker.as_ref() != Some(&pod) {
                self.let_go(&turn.conversation, pool_id, (&pod, Moved));
            }
        }
        if result.is_err() && session.worker.is_none() {
            self.sessions.leave(&turn.conversation);
        }
        result
    }

    /// Nothing is accepted that could be lost.
    pub(crate) async fn check_spool(&self) -> Result<(), ApiError> {
        if self.spool.is_failing() && self.spool.probe().await.is_err() {
            return Err(ApiError::new(
                Reason::SpoolUnavailable,
                "this gateway cannot write its usage records: try again later",
            ));
        }
        Ok(())
    }

    async fn relay_in_session(
        &self,
        turn: &CustomerTurn,
        pool: &SharedPool,
        session: &mut Session,
        place: &watch::Sender<Place>,
        done: &oneshot::Sender<Result<Relayed, ApiError>>,
        tried: &mut Tried,
    ) -> Result<Relayed, ApiError> {
        let entered = Instant::now();
        let mut answer_by = entered + self.turn_timeout;
        let mut changes = pool.changes();
        loop {
            let now = Instant::now();
            if now >= answer_by {
                pool.change(|pool| pool.leave(&turn.conversation));
                return Err(ApiError::new(
                    Reason::TimedOut,
                    "no worker answered in time: send the same turn again",
                ));
            }
            let known = known_worker(pool, session, &tried.refused, now);
            let is_new_there = known.is_none();
            let assignment = known.map_or_else(
                || pool.change_quietly(&turn.conversation, &tried.refused, now),
                Assignment::Worker,
            );
            match assignment {
                Assignment::Overflow => {
                    return Err(ApiError::new(
                        Reason::WaitingRoomFull,
                        "all workers are taken and the waiting room is full: try again soon",
                    ));
                }
                Assignment::Waiting { position } if tried.refused.is_empty() => {
                    let here = Place {
                        position,
                        estimate: pool.look(|pool| pool.estimate(position, now)),
                    };
                    if now >= entered + turn.wait || done.is_closed() {
                        pool.change(|pool| pool.step_back(&turn.conversation, now));
                        return Ok(Relayed::Waiting(here));
                    }
                    place.send_replace(here);
                    answer_by = now + self.turn_timeout;
                    // Either a change or a while: both mean to look again.
                    drop(tokio::time::timeout(LOOK_AGAIN, changes.changed()).await);
                }
                Assignment::Waiting { .. } => {
                    // Those that refused may take it now: nobody else has room.
                    tried.refused.clear();
                    tokio::time::sleep(RETRY).await;
                }
                Assignment::Worker(worker) => match self.ask(turn, pool, session, &worker).await {
                    Ok(Next::Done(witnessed)) => return Ok(Relayed::Replied(witnessed)),
                    Ok(Next::Another { may_have_it }) => {
                        if may_have_it {
                            tried.failed.insert(worker.pod.clone());
                        }
                        tried.refused.insert(worker.pod);
                    }
                    Err(error) => {
                        if is_new_there {
                            pool.change(|pool| pool.release(&worker.pod));
                        }
                        return Err(error);
                    }
                },
            }
        }
    }

    async fn ask(
        &self,
        turn: &CustomerTurn,
        pool: &SharedPool,
        session: &mut Session,
        worker: &Worker,
    ) -> Result<Next, ApiError> {
        let sealed = session
            .token
            .as_ref()
            .map(|token| token.sealed.to_vec())
            .unwrap_or_default();
        let request = self.request(&turn.conversation, Action::Turn(wire_turn(turn, sealed)), false);
        match self
            .workers
            .converse(&worker.address, request, WORKER_TIMEOUT)
            .await
        {
            Ok(WorkerAnswer {
                reply: Some(reply),
                active,
            }) => {
                pool.change(|pool| pool.heard(&worker.pod, active));
                if session
                    .worker
                    .as_ref()
                    .is_some_and(|before| *before != worker.pod)
                {
                    self.metrics.moved();
                }
                session.worker = Some(worker.pod.clone());
                let token = ResumeToken {
                    sequence: reply.turn_sequence,
                    worker: worker.pod.clone(),
                    sealed: Bytes::copy_from_slice(&reply.resume_token),
                };
                session.token = Some(token.clone());
                Ok(Next::Done(Box::new(self.witness(turn, reply, token).await?)))
            }
            Ok(WorkerAnswer { reply: None, .. }) => Err(ApiError::new(
                Reason::Internal,
                "the worker closed instead of answering",
            )),
            Err(error) => another_may_answer(&error, pool, worker).ok_or(error),
        }
    }

    /// Durable before the reply is handed to the channel; held until the channel says whether it was delivered.
    async fn witness(
        &self,
        turn: &CustomerTurn,
        reply: Reply,
        token: ResumeToken,
    ) -> Result<Witnessed, ApiError> {
        let event = reply.usage_event.to_vec();
        let held = (Delivery::Delivered, true);
        let appended = match self.if_last(turn, outcome_after(reply.kind())) {
            Some(if_last) => self.spool.append_turn(event, held, &if_last).await,
            None => self.spool.append(event, held.0, held.1).await,
        };
        let sequence = appended.map_err(|error| {
            ApiError::new(
                Reason::SpoolUnavailable,
                format!("{error}: send the same turn again"),
            )
        })?;
        let answer_id = Some(reply.answer_id.as_str()).filter(|id| !id.is_empty());
        self.rateable.note(&turn.conversation, &turn.channel, answer_id);
        Ok(Witnessed {
            reply,
            token,
            turn: (turn.conversation.clone(), turn.turn.clone()),
            sequence: Some(sequence),
            if_unread: self.if_last(turn, Outcome::Abandoned),
            sessions: self.sessions.clone(),
            spool: self.spool.clone(),
            metrics: self.metrics.clone(),
        })
    }

    pub(crate) fn request(
        &self,
        conversation: &ConversationId,
        action: Action,
        synthetic: bool,
    ) -> ConverseRequest {
        ConverseRequest {
            correlation: 0,
            tenant: self.tenant.to_string(),
            tenant_uid: self.tenant_uid.to_string(),
            conversation_id: conversation.to_string(),
            action: Some(action),
            synthetic,
        }
    }
}

/// The worker that has the conversation, if it is still there.
fn known_worker(
    pool: &SharedPool,
    session: &Session,
    refused: &HashSet<PodUid>,
    now: Instant,
) -> Option<Worker> {
    let hinted = session
        .worker
        .as_ref()
        .or(session.token.as_ref().map(|token| &token.worker))?;
    if refused.contains(hinted) {
        return None;
    }
    pool.look(|pool| pool.worker(hinted, now).cloned())
}

pub(crate) fn wire_turn(turn: &CustomerTurn, resume_token: Vec<u8>) -> Turn {
    let CustomerTurn {
        conversation: _,
        turn,
        text,
        channel,
        token: _,
        arrived_at,
        wait: _,
    } = turn;
    Turn {
        turn_id: turn.to_string(),
        text: text.clone(),
        arrived_at: Some(timestamp_to_wire(*arrived_at)),
        resume_token,
        channel: channel.clone(),
    }
}

/// `Some` if the error is the worker's own trouble, which is noted; `None` if every worker would say the same.
fn another_may_answer(error: &ApiError, pool: &SharedPool, worker: &Worker) -> Option<Next> {
    let mut may_have_it = false;
    match error.reason {
        Reason::WorkerFull => pool.change(|pool| pool.full(&worker.pod)),
        Reason::WorkerDraining | Reason::WorkerNotReady => {
            pool.change(|pool| pool.draining(&worker.pod));
        }
        Reason::SpoolUnavailable => {
            may_have_it = true;
            pool.change(|pool| pool.draining(&worker.pod));
        }
        Reason::Unavailable | Reason::TimedOut | Reason::Internal => {
            tracing::info!(worker = %worker.pod, %error, "worker failed, trying another");
            may_have_it = true;
            pool.change(|pool| pool.suspect(&worker.pod, Instant::now()));
        }
        _ => return None,
    }
    Some(Next::Another { may_have_it })
}

fn label(outcome: &Result<Relayed, ApiError>) -> &'static str {
    match outcome {
        Ok(Relayed::Waiting(_)) => "waiting",
        Ok(Relayed::Replied(witnessed)) => kind_text(witnessed.reply.kind()),
        Err(error) => error.reason.as_str(),
    }
}

/// How clients read the kind of an answer.
pub fn kind_text(kind: AnswerKind) -> &'static str {
    match kind {
        AnswerKind::Answer => "unique",
        AnswerKind::List => "list",
        AnswerKind::Sorry | AnswerKind::Unspecified => "sorry",
    }
}
