//! The conversations that came through this gateway: where each goes, and its newest token.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use springtide_proto::ids::{ConversationId, PodUid, PoolId, TurnId};
use tokio::time::Instant;

use crate::resume::{ResumeToken, newer};

/// One conversation; its lock serialises its turns.
#[derive(Debug, Default)]
pub struct Session {
    /// The worker that has it.
    pub worker: Option<PodUid>,
    /// The newest token seen.
    pub token: Option<ResumeToken>,
}

impl Session {
    /// Takes the token that a client sent. One that is newer than ours says that the conversation went on through another
    /// gateway: then it is where that token was sealed.
    pub fn take_token(&mut self, clients: Option<ResumeToken>) {
        let own = self.token.take();
        let before = own.as_ref().map(|own| own.sequence);
        self.token = newer(own, clients);
        if before.is_some() && before < self.token.as_ref().map(|newest| newest.sequence) {
            self.worker = None;
        }
    }
}

/// A shared session.
pub type SharedSession = Arc<tokio::sync::Mutex<Session>>;

#[derive(Debug)]
struct Known {
    session: SharedSession,
    pool: PoolId,
    last_used: Instant,
    /// The last turn whose answer was handed to the customer.
    read: Option<TurnId>,
}

/// How many conversations of a pool began and ended here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Began.
    pub arrived: u64,
    /// Ended or were parked.
    pub ended: u64,
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<ConversationId, Known>,
    tallies: HashMap<PoolId, Tally>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Sessions(Arc<Mutex<Inner>>);

impl Sessions {
    /// The conversation's session, new if it was not known.
    pub fn enter(&self, conversation: &ConversationId, pool: &PoolId, now: Instant) -> SharedSession {
        let mut inner = self.0.lock();
        let Inner { known, tallies } = &mut *inner;
        let entry = known.entry(conversation.clone()).or_insert_with(|| {
            tallies.entry(pool.clone()).or_default().arrived += 1;
            Known {
                session: SharedSession::default(),
                pool: pool.clone(),
                last_used: now,
                read: None,
            }
        });
        entry.last_used = now;
        entry.session.clone()
    }

    /// The conversation's session, if it is known.
    pub fn find(&self, conversation: &ConversationId) -> Option<SharedSession> {
        Some(self.0.lock().known.get(conversation)?.session.clone())
    }

    /// The answer to a turn is on its way to the customer.
    pub fn read(&self, conversation: &ConversationId, turn: TurnId) {
        if let Some(known) = self.0.lock().known.get_mut(conversation) {
            known.read = Some(turn);
        }
    }

    /// The customer has the answer to that turn, and it is the last: another copy of the message says nothing new.
    pub fn was_read(&self, conversation: &ConversationId, turn: &TurnId) -> bool {
        let inner = self.0.lock();
        let known = inner.known.get(conversation);
        known.is_some_and(|known| known.read.as_ref() == Some(turn))
    }

    /// The conversation is over; its session, if it was known.
    pub fn leave(&self, conversation: &ConversationId) -> Option<SharedSession> {
        let mut inner = self.0.lock();
        let known = inner.known.remove(conversation)?;
        inner.tallies.entry(known.pool).or_default().ended += 1;
        Some(known.session)
    }

    /// Parks what was silent for `idle_after`: the client holds the token.
    pub fn park_silent(&self, now: Instant, idle_after: Duration) {
        let mut inner = self.0.lock();
        let Inner { known, tallies } = &mut *inner;
        known.retain(|_, known| {
            let busy = Arc::strong_count(&known.session) > 1;
            let stays = busy || now.saturating_duration_since(known.last_used) < idle_after;
            if !stays {
                tallies.entry(known.pool.clone()).or_default().ended += 1;
            }
            stays
        });
    }

    /// Counts of one pool, and how many of its conversations are active here.
    pub fn tally(&self, pool: &PoolId) -> (Tally, u64) {
        let tally = self.0.lock().tallies.get(pool).copied().unwrap_or_default();
        (tally, tally.arrived - tally.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_began_either_ends_or_is_active() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (pool, idle) = (PoolId::parse("web").unwrap(), Duration::from_secs(10));
        let ids: Vec<_> = ["one", "two", "three"]
            .map(|id| ConversationId::parse(id).unwrap())
            .into();
        let busy = sessions.enter(&ids[0], &pool, now);
        sessions.enter(&ids[1], &pool, now);
        sessions.enter(&ids[2], &pool, now);
        sessions.enter(&ids[2], &pool, now);
        assert!(sessions.leave(&ids[2]).is_some());
        assert!(sessions.leave(&ids[2]).is_none());
        sessions.park_silent(now + idle, idle);
        let (tally, active) = sessions.tally(&pool);
        assert_eq!(
            (tally.arrived, tally.ended, active),
            (3, 2, 1),
            "a turn under way keeps its session"
        );
        drop(busy);
    }
}
