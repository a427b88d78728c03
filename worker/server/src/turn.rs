//! One turn: from a checked request to a reply whose usage event is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use ring::rand::SecureRandom;
use springtide_engine::{Answer, Bundle, DialogueState};
use springtide_proto::conversation::{AnswerKind, Candidate, Reply};
use springtide_proto::ended::ConversationEnd;
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::event::{Interaction, InteractionKind};
use springtide_proto::ids::{ConversationId, PoolId, TenantId, TenantUid, TurnId};
use springtide_proto::metering::Delivery;
use springtide_runtime::clock::Clock;
use springtide_runtime::spool::Spool;
use tokio::time::Instant;

use crate::conversations::{Conversation, Conversations, Intake};
use crate::keys::TokenKeys;
use crate::knowledge::Knowledge;
use crate::token::{ConversationState, RecentTurn, TextDigest, TokenOwner, open, seal};

/// Usage events that are kept for repeated turns, a conversation.
const KEPT_EVENTS: usize = 8;

/// A turn, checked.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The session.
    pub conversation: ConversationId,
    /// The message.
    pub turn: TurnId,
    /// What the customer wrote, trimmed.
    pub text: String,
    /// When it reached the gateway's door.
    pub arrived_at: Timestamp,
    /// The channel it came by.
    pub channel: String,
    /// Sealed state after the last turn; empty for a new conversation.
    pub resume_token: Bytes,
}

/// What answering needs.
pub struct Answering {
    /// Whose conversations.
    pub tenant: TenantId,
    /// Identity of that tenant.
    pub tenant_uid: TenantUid,
    /// The pool.
    pub pool: PoolId,
    /// What is known.
    pub knowledge: Knowledge,
    /// Token keys.
    pub keys: TokenKeys,
    /// What is active here.
    pub conversations: Arc<Conversations>,
    /// First witness.
    pub spool: Spool,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Nonces of tokens.
    pub random: Arc<dyn SecureRandom + Send + Sync>,
    /// Turns answered since the process started.
    pub turns_answered: AtomicU64,
}

/// A reply and what it was.
#[derive(Debug)]
pub struct Answered {
    /// For the wire.
    pub reply: Reply,
    /// How it is metered.
    pub kind: InteractionKind,
}

impl Answering {
    /// Answers a customer's turn. When it returns a reply, its usage event is in the spool.
    pub async fn answer(&self, turn: Turn) -> Result<Answered, ApiError> {
        if self.spool.is_failing() && self.spool.probe().await.is_err() {
            return Err(spool_unavailable());
        }
        let bundle = self.bundle()?;
        let state = self.state_in_token(&turn)?;
        let slot = self.conversations.enter(&turn.conversation, Instant::now())?;
        let mut conversation = slot.lock().await;
        if let Some(state) = state.filter(|state| state.sequence > conversation.state.sequence) {
            *conversation = Conversation {
                state,
                events: Vec::new(),
            };
        }
        let answered = match self.repeated(&bundle, &conversation, &turn)? {
            Some(answered) => Ok(answered),
            None => self.answer_anew(&bundle, &mut conversation, &turn).await,
        };
        if answered.is_err() && conversation.state.sequence == 0 {
            self.conversations.leave(&turn.conversation);
        }
        answered
    }

    /// Answers a readiness probe: everything a turn does, but no conversation, no event and no token come of it.
    pub fn answer_synthetic(&self, turn: &Turn) -> Result<Answered, ApiError> {
        let bundle = self.bundle()?;
        if self.spool.is_failing() {
            return Err(spool_unavailable());
        }
        let outcome = springtide_engine::answer(&bundle, &DialogueState::default(), &turn.text);
        Ok(answered(&bundle, &turn.turn, &outcome.answer, Replied::default()))
    }

    /// The conversation is no longer here: it is over, or goes on at another worker, which then says when it ended.
    pub async fn close(&self, conversation: &ConversationId, is_over: bool) {
        let written = if is_over {
            self.spool.end_conversation(conversation).await
        } else {
            self.spool.forget_conversation(conversation).await
        };
        if let Err(error) = written {
            tracing::warn!(%error, "a conversation is left to end by its silence");
        }
        self.conversations.leave(conversation);
    }

    /// Conversations end that were silent for `idle_after`; all do once the worker gives up those it has: where one goes on,
    /// it ends later, and that counts.
    pub async fn end_silent(&self, idle_after: Duration) {
        let gives_up = self.conversations.intake() == Intake::HandingOff;
        let since = if gives_up {
            Timestamp::MAX
        } else {
            self.clock
                .now()
                .saturating_sub(idle_after)
                .unwrap_or(Timestamp::MIN)
        };
        if let Err(error) = self.spool.end_silent(since).await {
            tracing::warn!(%error, "silent conversations are not ended yet");
        }
    }

    fn bundle(&self) -> Result<Arc<Bundle>, ApiError> {
        self.knowledge.bundle().ok_or_else(|| {
            ApiError::new(
                Reason::WorkerNotReady,
                "this worker has no knowledge to answer from yet",
            )
        })
    }

    fn state_in_token(&self, turn: &Turn) -> Result<Option<ConversationState>, ApiError> {
        if turn.resume_token.is_empty() {
            return Ok(None);
        }
        open(&self.keys, self.owner(turn), &turn.resume_token, self.clock.now()).map(Some)
    }

    fn owner<'a>(&'a self, turn: &'a Turn) -> TokenOwner<'a> {
        TokenOwner {
            tenant: &self.tenant_uid,
            conversation: &turn.conversation,
        }
    }

    /// The reply that was given before, if this turn was answered before.
    fn repeated(
        &self,
        bundle: &Bundle,
        conversation: &Conversation,
        turn: &Turn,
    ) -> Result<Option<Answered>, ApiError> {
        let Some(recent) = conversation.state.recent_turn(&turn.turn) else {
            return Ok(None);
        };
        if recent.text_digest != TextDigest::of(&turn.text) {
            let message =
                "this turn id was used before with another text: give each message an id of its own";
            return Err(ApiError::new(Reason::TurnConflict, message).with_field("turn.turn_id"));
        }
        let kept = conversation
            .events
            .iter()
            .find(|(id, _)| *id == turn.turn)
            .map(|(_, event)| event.clone());
        let replied = Replied {
            usage_event: kept.unwrap_or_else(|| self.interaction(&turn.conversation, recent).encode().into()),
            resume_token: self.seal(turn, &conversation.state)?,
            sequence: conversation.state.sequence,
            replayed: true,
        };
        Ok(Some(answered(bundle, &turn.turn, &recent.answer, replied)))
    }

    async fn answer_anew(
        &self,
        bundle: &Bundle,
        conversation: &mut Conversation,
        turn: &Turn,
    ) -> Result<Answered, ApiError> {
        let outcome = springtide_engine::answer(bundle, &conversation.state.dialogue, &turn.text);
        let recent = RecentTurn {
            turn: turn.turn.clone(),
            text_digest: TextDigest::of(&turn.text),
            answer: outcome.answer,
            arrived_at: turn.arrived_at,
            channel: turn.channel.clone(),
        };
        let interaction = self.interaction(&turn.conversation, &recent);
        let event = Bytes::from(interaction.encode());
        let state = conversation.state.clone().after(recent.clone(), outcome.state);
        let resume_token = self.seal(turn, &state)?;
        let (as_worker, if_last) = (
            (Delivery::Unspecified, false),
            ConversationEnd::after(&interaction),
        );
        self.spool
            .append_turn(event.to_vec(), as_worker, &if_last)
            .await
            .map_err(|_| spool_unavailable())?;
        conversation.state = state;
        conversation.events.push((turn.turn.clone(), event.clone()));
        let surplus = conversation.events.len().saturating_sub(KEPT_EVENTS);
        conversation.events.drain(..surplus);
        self.turns_answered.fetch_add(1, Ordering::Relaxed);
        let replied = Replied {
            usage_event: event,
            resume_token,
            sequence: conversation.state.sequence,
            replayed: false,
        };
        Ok(answered(bundle, &turn.turn, &recent.answer, replied))
    }

    fn interaction(&self, conversation: &ConversationId, turn: &RecentTurn) -> Interaction {
        // Without `..`: what is forgotten here is forgotten on the bill.
        let RecentTurn {
            turn,
            text_digest: _,
            answer,
            arrived_at,
            channel,
        } = turn;
        Interaction {
            tenant: self.tenant.clone(),
            tenant_uid: self.tenant_uid.clone(),
            pool: self.pool.clone(),
            conversation: conversation.clone(),
            turn: turn.clone(),
            channel: channel.clone(),
            arrived_at: *arrived_at,
            kind: kind_of(answer),
            answer_id: if let Answer::Unique(id) = answer {
                Some(id.clone())
            } else {
                None
            },
        }
    }

    fn seal(&self, turn: &Turn, state: &ConversationState) -> Result<Bytes, ApiError> {
        seal(
            &self.keys,
            self.random.as_ref(),
            self.owner(turn),
            state,
            self.clock.now(),
        )
        .map(Bytes::from)
    }
}

#[derive(Default)]
struct Replied {
    usage_event: Bytes,
    resume_token: Bytes,
    sequence: u32,
    replayed: bool,
}

fn answered(bundle: &Bundle, turn: &TurnId, answer: &Answer, replied: Replied) -> Answered {
    let kind = kind_of(answer);
    let texts = springtide_engine::render(bundle, answer);
    let Replied {
        usage_event,
        resume_token,
        sequence,
        replayed,
    } = replied;
    let candidates = texts.candidates.into_iter();
    let reply = Reply {
        turn_id: turn.to_string(),
        kind: AnswerKind::from(kind).into(),
        text: texts.text,
        answer_id: if let Answer::Unique(id) = answer {
            id.clone()
        } else {
            String::new()
        },
        candidates: candidates
            .map(|candidate| Candidate {
                answer_id: candidate.id,
                question: candidate.question,
            })
            .collect(),
        resume_token,
        usage_event,
        replayed,
        turn_sequence: sequence,
    };
    Answered { reply, kind }
}

fn kind_of(answer: &Answer) -> InteractionKind {
    match answer {
        Answer::Unique(_) => InteractionKind::Answer,
        Answer::List(_) => InteractionKind::List,
        Answer::Sorry => InteractionKind::Sorry,
    }
}

fn spool_unavailable() -> ApiError {
    ApiError::new(
        Reason::SpoolUnavailable,
        "this worker cannot write its usage records, so it answers nothing: try another",
    )
}
