//! The gRPC edge: who asks, what they ask, and on to [`crate::turn`].

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use springtide_proto::conversation::conversation_server::Conversation as ConversationService;
use springtide_proto::conversation::converse_request::Action;
use springtide_proto::conversation::converse_response::Result as Outcome;
use springtide_proto::conversation::{
    self, Closed, ConverseRequest, ConverseResponse, HandOverRequest, HandOverResponse, SpooledRecord, close,
};
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::ids::{ConversationId, TenantId, TenantUid, TurnId};
use springtide_proto::time::timestamp_from_wire;
use springtide_runtime::identity::{PeerIdentity, SystemRole, TenantRole, refused};
use springtide_runtime::tls::peer_identity;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::hand_over::HandOver;
use crate::metrics::Metrics;
use crate::token::MAX_TOKEN;
use crate::turn::{Answering, Turn};

/// Longest message, in characters.
const MAX_TEXT: usize = 2_000;
/// Longest name of a channel, in characters.
const MAX_CHANNEL: usize = 32;
/// Turns under way at once, a stream.
const STREAM_TURNS: usize = 256;

/// See the module.
#[derive(Clone)]
pub struct Service {
    /// Answers.
    pub answering: Arc<Answering>,
    /// Counts.
    pub metrics: Metrics,
    /// Turns under way, so that the worker ends after them.
    pub turns: TaskTracker,
    /// Usage records that are left at the end.
    pub hand_over: Arc<HandOver>,
}

enum Asked {
    Turn {
        turn: Turn,
        synthetic: bool,
    },
    Close {
        conversation: ConversationId,
        is_over: bool,
    },
}

impl Service {
    /// One request of a peer, answered. Runs to its end even if the caller goes: a turn is never half done.
    async fn converse(
        &self,
        peer: PeerIdentity,
        request: ConverseRequest,
    ) -> Result<ConverseResponse, ApiError> {
        let service = self.clone();
        let answered = self
            .turns
            .spawn(async move { service.answer(&peer, request).await })
            .await;
        let answered = answered.unwrap_or_else(|error| {
            tracing::error!(%error, "a turn panicked");
            Err(ApiError::new(
                Reason::Internal,
                "the turn failed; the worker's log has the cause",
            ))
        });
        if let Err(error) = &answered {
            self.metrics.refused(error.reason);
        }
        answered
    }

    async fn answer(
        &self,
        peer: &PeerIdentity,
        request: ConverseRequest,
    ) -> Result<ConverseResponse, ApiError> {
        let (correlation, conversation_id) = (request.correlation, request.conversation_id.clone());
        let started = Instant::now();
        let result = match self.check(peer, request)? {
            Asked::Close {
                conversation,
                is_over,
            } => {
                self.answering.close(&conversation, is_over).await;
                Outcome::Closed(Closed {})
            }
            Asked::Turn { turn, synthetic } => {
                let answered = if synthetic {
                    self.answering.answer_synthetic(&turn)?
                } else {
                    self.answering.answer(turn).await?
                };
                let seconds = started.elapsed().as_secs_f64();
                self.metrics
                    .answered(answered.kind, answered.reply.replayed, synthetic, seconds);
                Outcome::Reply(answered.reply)
            }
        };
        let active = self.answering.conversations.active();
        Ok(ConverseResponse {
            correlation,
            conversation_id,
            result: Some(result),
            active,
        })
    }

    fn require_gateway(&self, peer: &PeerIdentity) -> Result<(), ApiError> {
        peer.require(&PeerIdentity::tenant(&self.answering.tenant, TenantRole::Gateway))
    }

    fn require_own(&self, tenant: String, tenant_uid: String) -> Result<(), ApiError> {
        let tenant = TenantId::parse(tenant)?;
        let tenant_uid = TenantUid::parse(tenant_uid)?;
        if tenant != self.answering.tenant || tenant_uid != self.answering.tenant_uid {
            return Err(refused());
        }
        Ok(())
    }

    async fn hand_over(
        &self,
        peer: &PeerIdentity,
        request: HandOverRequest,
    ) -> Result<HandOverResponse, ApiError> {
        let HandOverRequest {
            tenant,
            tenant_uid,
            gateway,
            kept,
        } = request;
        self.require_gateway(peer)?;
        self.require_own(tenant, tenant_uid)?;
        let records = self.hand_over.give(&gateway, &kept, Instant::now()).await?;
        let pod = &self.hand_over.pod;
        Ok(HandOverResponse {
            records: records
                .into_iter()
                .map(|record| SpooledRecord {
                    sequence: record.sequence,
                    usage_event: record.event.into(),
                })
                .collect(),
            reporter: pod.name.to_string(),
            boot_id: pod.boot_id.to_string(),
        })
    }

    /// Wire to domain: everything that is wrong with a request is found here.
    fn check(&self, peer: &PeerIdentity, request: ConverseRequest) -> Result<Asked, ApiError> {
        let ConverseRequest {
            correlation: _,
            tenant,
            tenant_uid,
            conversation_id,
            action,
            synthetic,
        } = request;
        let is_operator = *peer == PeerIdentity::System(SystemRole::Operator);
        // A gateway passes on the operator's probes of its public door.
        if !(synthetic && is_operator) {
            self.require_gateway(peer)?;
        }
        self.require_own(tenant, tenant_uid)?;
        let conversation = ConversationId::parse(conversation_id)?;
        match action.ok_or_else(|| ApiError::invalid("action", "one of turn and close is needed"))? {
            Action::Close(close) => Ok(Asked::Close {
                conversation,
                is_over: close.reason() != close::Reason::Moved,
            }),
            Action::Turn(turn) => Ok(Asked::Turn {
                turn: check_turn(conversation, turn)?,
                synthetic,
            }),
        }
    }
}

fn check_turn(conversation: ConversationId, turn: conversation::Turn) -> Result<Turn, ApiError> {
    let conversation::Turn {
        turn_id,
        text,
        arrived_at,
        resume_token,
        channel,
    } = turn;
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MAX_TEXT {
        return Err(ApiError::invalid(
            "turn.text",
            format!("turn.text must have 1 to {MAX_TEXT} characters"),
        ));
    }
    if resume_token.len() > MAX_TOKEN {
        return Err(ApiError::invalid(
            "turn.resume_token",
            format!("turn.resume_token has more than {MAX_TOKEN} bytes"),
        ));
    }
    if channel.is_empty() || channel.chars().count() > MAX_CHANNEL {
        return Err(ApiError::invalid(
            "turn.channel",
            format!("turn.channel must have 1 to {MAX_CHANNEL} characters"),
        ));
    }
    Ok(Turn {
        conversation,
        turn: TurnId::parse(turn_id)?,
        text: text.to_owned(),
        arrived_at: timestamp_from_wire(arrived_at, "turn.arrived_at")?,
        channel,
        resume_token: resume_token.into(),
    })
}

#[tonic::async_trait]
impl ConversationService for Service {
    async fn converse(
        &self,
        request: Request<ConverseRequest>,
    ) -> Result<Response<ConverseResponse>, Status> {
        let peer = peer_identity(&request)?;
        Ok(Response::new(self.converse(peer, request.into_inner()).await?))
    }

    type ConverseStreamStream = Pin<Box<dyn Stream<Item = Result<ConverseResponse, Status>> + Send>>;

    async fn converse_stream(
        &self,
        request: Request<Streaming<ConverseRequest>>,
    ) -> Result<Response<Self::ConverseStreamStream>, Status> {
        let peer = peer_identity(&request)?;
        let mut requests = request.into_inner();
        let (responses, receiver) = mpsc::channel(STREAM_TURNS);
        let service = self.clone();
        tokio::spawn(async move {
            let permits = Arc::new(Semaphore::new(STREAM_TURNS));
            // An error here is the end of the stream: the peer has gone.
            while let Some(Ok(request)) = requests.next().await {
                let Ok(permit) = permits.clone().acquire_owned().await else {
                    return;
                };
                let (service, peer, responses) = (service.clone(), peer.clone(), responses.clone());
                tokio::spawn(async move {
                    let _permit = permit;
                    let (correlation, conversation_id) =
                        (request.correlation, request.conversation_id.clone());
                    let response =
                        service
                            .converse(peer, request)
                            .await
                            .unwrap_or_else(|error| ConverseResponse {
                                correlation,
                                conversation_id,
                                result: Some(Outcome::Error(error.into())),
                                active: service.answering.conversations.active(),
                            });
                    // The peer may have gone: the turn is done all the same.
                    drop(responses.send(Ok(response)).await);
                });
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn hand_over(
        &self,
        request: Request<HandOverRequest>,
    ) -> Result<Response<HandOverResponse>, Status> {
        let peer = peer_identity(&request)?;
        Ok(Response::new(self.hand_over(&peer, request.into_inner()).await?))
    }
}
