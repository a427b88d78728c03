//! What this gateway keeps in mind of conversations, so that they can be rated: where each went, and its last single answer.
//!
//! It outlives a session, as customers rate when they are done. It is bounded by two *generations*: what is heard of goes into
//! the young one; when that is full, it becomes the old one, and what was in the old one is forgotten.

use std::collections::HashMap;

use parking_lot::Mutex;
use springtide_proto::ids::ConversationId;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Conversations of one generation.
const MOST: usize = 25_000;
/// Ratings that are being written at once: so few that turns do not wait for them.
const AT_ONCE: usize = 32;

/// What is known of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The channel of its last message.
    pub channel: String,
    /// The knowledge entry of its last single answer.
    pub answer_id: Option<String>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<ConversationId, Heard>,
    old: HashMap<ConversationId, Heard>,
}

/// See the module.
#[derive(Debug)]
pub struct Rateable {
    generations: Mutex<Generations>,
    most: usize,
    writing: Semaphore,
}

impl Default for Rateable {
    fn default() -> Self {
        Self::of_at_most(MOST)
    }
}

impl Rateable {
    fn of_at_most(most: usize) -> Self {
        Self {
            generations: Mutex::default(),
            most,
            writing: Semaphore::new(AT_ONCE),
        }
    }

    /// A message of the conversation was answered; by one entry, if it is named.
    pub fn note(&self, conversation: &ConversationId, channel: &str, answer_id: Option<&str>) {
        let mut generations = self.generations.lock();
        let Generations { young, old } = &mut *generations;
        let before = old.remove(conversation);
        let before = before.or_else(|| young.remove(conversation));
        let answer_id = answer_id.map(ToOwned::to_owned);
        let heard = Heard {
            channel: channel.to_owned(),
            answer_id: answer_id.or_else(|| before.and_then(|before| before.answer_id)),
        };
        young.insert(conversation.clone(), heard);
        if young.len() >= self.most {
            *old = std::mem::take(young);
        }
    }

    /// What is known of a conversation.
    pub fn find(&self, conversation: &ConversationId) -> Option<Heard> {
        let generations = self.generations.lock();
        let Generations { young, old } = &*generations;
        young.get(conversation).or_else(|| old.get(conversation)).cloned()
    }

    /// Leave to write a rating; `None` while too many are being written.
    pub(crate) fn begin(&self) -> Option<SemaphorePermit<'_>> {
        self.writing.try_acquire().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> ConversationId {
        ConversationId::parse(format!("c{number}")).unwrap()
    }

    #[test]
    fn the_last_single_answer_is_kept_whatever_is_asked_after_it() {
        let rateable = Rateable::default();
        assert_eq!(rateable.find(&id(1)), None);
        for (channel, answer_id, expected) in [
            ("web", None, None),
            ("web", Some("refund"), Some("refund")),
            ("app", None, Some("refund")),
            ("app", Some("invoice"), Some("invoice")),
        ] {
            rateable.note(&id(1), channel, answer_id);
            let heard = Heard {
                channel: channel.to_owned(),
                answer_id: expected.map(ToOwned::to_owned),
            };
            assert_eq!(rateable.find(&id(1)), Some(heard));
        }
    }

    #[test]
    fn there_are_never_more_than_two_generations_and_who_goes_on_is_not_forgotten() {
        let rateable = Rateable::of_at_most(10);
        rateable.note(&id(0), "web", Some("first"));
        for number in 1..1_000 {
            rateable.note(&id(number), "web", None);
            rateable.note(&id(0), "web", None);
            let generations = rateable.generations.lock();
            assert!(generations.young.len() + generations.old.len() < 20);
        }
        assert_eq!(
            rateable.find(&id(0)).and_then(|heard| heard.answer_id),
            Some("first".to_owned())
        );
        assert!(rateable.find(&id(999)).is_some() && rateable.find(&id(1)).is_none());
    }

    #[test]
    fn ratings_beyond_a_few_at_once_wait_for_nobody() {
        let rateable = Rateable::default();
        let begun: Vec<_> = (0..AT_ONCE).map(|_| rateable.begin().unwrap()).collect();
        assert!(rateable.begin().is_none());
        drop(begun);
        assert!(rateable.begin().is_some());
    }
}
