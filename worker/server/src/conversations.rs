//! Which conversations are active on this worker, and whether one more fits.
//!
//! *Active* from the first turn until closed, parked (silent for the idle time) or handed off. The worker arbitrates: over
//! capacity, cordoned or ending it refuses a new conversation, and the gateway tries the next worker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::ids::{ConversationId, TurnId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::token::ConversationState;

/// What the operator and the gateways hear of this worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Active conversations.
    pub active: u32,
    /// Takes new ones.
    pub accepting: bool,
    /// Cordoned or ending.
    pub draining: bool,
    /// Will not take any again.
    pub ending: bool,
    /// Conversations begun here since the process started.
    pub begun: u64,
    /// Conversations ended here since then.
    pub ended: u64,
}

/// How far the worker is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// Knows nothing to answer from yet.
    NotReady,
    /// Takes new conversations.
    Open,
    /// Takes none, goes on with those it has.
    Cordoned,
    /// As cordoned, but it will not open again.
    Ending,
    /// Gives up those it has, too.
    HandingOff,
}

/// One conversation's state; its lock serialises its turns.
pub type Slot = Arc<tokio::sync::Mutex<Conversation>>;

/// State that lives here while the conversation is active.
#[derive(Debug, Default)]
pub struct Conversation {
    /// What a token of it would carry.
    pub state: ConversationState,
    /// Usage events of the last turns, as they were spooled.
    pub events: Vec<(TurnId, bytes::Bytes)>,
}

struct Active {
    slot: Slot,
    last_turn: Instant,
}

struct Inner {
    intake: Intake,
    active: HashMap<ConversationId, Active>,
    begun: u64,
    ended: u64,
}

/// See the module.
pub struct Conversations {
    capacity: u32,
    inner: Mutex<Inner>,
    load: watch::Sender<Load>,
}

impl Conversations {
    /// None yet; not open.
    pub fn new(capacity: u32) -> Self {
        let inner = Inner {
            intake: Intake::NotReady,
            active: HashMap::new(),
            begun: 0,
            ended: 0,
        };
        Self {
            capacity,
            inner: Mutex::new(inner),
            load: watch::channel(Load::default()).0,
        }
    }

    /// The load, and each change of it.
    pub fn load(&self) -> watch::Receiver<Load> {
        self.load.subscribe()
    }

    /// The conversation's slot, taken if it is new and fits.
    pub fn enter(&self, conversation: &ConversationId, now: Instant) -> Result<Slot, ApiError> {
        let mut inner = self.inner.lock();
        match inner.intake {
            Intake::NotReady => {
                return Err(ApiError::new(
                    Reason::WorkerNotReady,
                    "this worker has no knowledge to answer from yet",
                ));
            }
            Intake::HandingOff => return Err(draining()),
            Intake::Open | Intake::Cordoned | Intake::Ending => {}
        }
        if let Some(active) = inner.active.get_mut(conversation) {
            active.last_turn = now;
            return Ok(active.slot.clone());
        }
        if inner.intake != Intake::Open {
            return Err(draining());
        }
        if inner.active.len() >= usize::try_from(self.capacity).unwrap_or(usize::MAX) {
            return Err(ApiError::new(
                Reason::WorkerFull,
                format!("this worker has its {} conversations", self.capacity),
            ));
        }
        let slot = Slot::default();
        inner.active.insert(
            conversation.clone(),
            Active {
                slot: slot.clone(),
                last_turn: now,
            },
        );
        inner.begun += 1;
        self.publish(&inner);
        Ok(slot)
    }

    /// The conversation no longer counts; one that is not here is no error.
    pub fn leave(&self, conversation: &ConversationId) {
        let mut inner = self.inner.lock();
        if inner.active.remove(conversation).is_some() {
            inner.ended += 1;
            self.publish(&inner);
        }
    }

    /// Parks what was silent for `idle_after`; a turn that is being answered keeps its conversation.
    pub fn park_silent(&self, now: Instant, idle_after: Duration) {
        let mut inner = self.inner.lock();
        let before = inner.active.len();
        inner.active.retain(|_, active| {
            Arc::strong_count(&active.slot) > 1
                || now.saturating_duration_since(active.last_turn) < idle_after
        });
        let parked = before - inner.active.len();
        if parked > 0 {
            inner.ended += u64::try_from(parked).unwrap_or_default();
            self.publish(&inner);
        }
    }

    /// Until the last conversation is parked, if nobody says anything more; `None` without conversations.
    pub fn parked_in(&self, now: Instant, idle_after: Duration) -> Option<Duration> {
        let inner = self.inner.lock();
        let last_turn = inner.active.values().map(|active| active.last_turn).max()?;
        Some((last_turn + idle_after).saturating_duration_since(now))
    }

    /// Changes the intake; giving up conversations ends them here.
    pub fn set_intake(&self, intake: Intake) {
        let mut inner = self.inner.lock();
        inner.intake = intake;
        if intake == Intake::HandingOff {
            inner.ended += u64::try_from(inner.active.len()).unwrap_or_default();
            inner.active.clear();
        }
        self.publish(&inner);
    }

    /// The intake now.
    pub fn intake(&self) -> Intake {
        self.inner.lock().intake
    }

    /// Active conversations now.
    pub fn active(&self) -> u32 {
        self.load.borrow().active
    }

    fn publish(&self, inner: &Inner) {
        self.load.send_replace(Load {
            active: u32::try_from(inner.active.len()).unwrap_or(u32::MAX),
            accepting: inner.intake == Intake::Open,
            draining: matches!(
                inner.intake,
                Intake::Cordoned | Intake::Ending | Intake::HandingOff
            ),
            ending: matches!(inner.intake, Intake::Ending | Intake::HandingOff),
            begun: inner.begun,
            ended: inner.ended,
        });
    }
}

fn draining() -> ApiError {
    ApiError::new(
        Reason::WorkerDraining,
        "this worker takes no new conversation: try another",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ConversationId {
        ConversationId::parse(text).unwrap()
    }

    fn open(capacity: u32) -> Conversations {
        let conversations = Conversations::new(capacity);
        conversations.set_intake(Intake::Open);
        conversations
    }

    #[tokio::test]
    async fn a_full_worker_refuses_a_new_conversation_and_keeps_those_it_has() {
        let (worker, now) = (open(1), Instant::now());
        worker.enter(&id("one"), now).unwrap();
        assert_eq!(
            worker.enter(&id("two"), now).unwrap_err().reason,
            Reason::WorkerFull
        );
        worker.enter(&id("one"), now).unwrap();
        worker.leave(&id("one"));
        worker.leave(&id("one"));
        worker.enter(&id("two"), now).unwrap();
        let load = *worker.load().borrow();
        assert_eq!((load.active, load.begun, load.ended), (1, 2, 1));
    }

    #[tokio::test]
    async fn a_cordoned_worker_goes_on_with_its_own_and_one_that_hands_off_has_none() {
        let (worker, now) = (open(2), Instant::now());
        worker.enter(&id("one"), now).unwrap();
        worker.set_intake(Intake::Cordoned);
        worker.enter(&id("one"), now).unwrap();
        assert_eq!(
            worker.enter(&id("two"), now).unwrap_err().reason,
            Reason::WorkerDraining
        );
        assert!(!worker.load().borrow().ending);
        worker.set_intake(Intake::HandingOff);
        assert_eq!(worker.active(), 0);
        assert!(worker.load().borrow().ending);
        assert_eq!(
            worker.enter(&id("one"), now).unwrap_err().reason,
            Reason::WorkerDraining
        );
    }

    #[tokio::test]
    async fn a_silent_conversation_is_parked_but_not_one_that_is_being_answered() {
        let (worker, now) = (open(2), Instant::now());
        let idle = Duration::from_mins(3);
        let held = worker.enter(&id("held"), now).unwrap();
        worker.enter(&id("silent"), now).unwrap();
        worker.park_silent(now + idle / 2, idle);
        assert_eq!(worker.active(), 2);
        worker.park_silent(now + idle, idle);
        assert_eq!(worker.active(), 1);
        drop(held);
        worker.park_silent(now + idle, idle);
        assert_eq!(worker.active(), 0);
    }
    #[tokio::test]
    async fn the_last_conversation_is_parked_the_idle_time_after_its_last_turn() {
        let (worker, now) = (open(2), Instant::now());
        let (idle, second) = (Duration::from_mins(3), Duration::from_secs(1));
        assert_eq!(worker.parked_in(now, idle), None);
        worker.enter(&id("first"), now).unwrap();
        worker.enter(&id("last"), now + second * 10).unwrap();
        let at = now + second * 30;
        assert_eq!(worker.parked_in(at, idle), Some(second * 160));
        worker.enter(&id("first"), at).unwrap();
        assert_eq!(worker.parked_in(at, idle), Some(idle), "somebody spoke");
        worker.park_silent(at + idle, idle);
        assert_eq!(worker.parked_in(at + idle, idle), None, "exactly then");
    }
}
