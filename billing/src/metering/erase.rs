//! Taking out of what is kept whatever tells which customer it was: pure.
//!
//! A customer is known by the conversations that it had. What is *erased* keeps when it happened, what it counted for and by
//! what bills narrow it; conversation, turn, answer and the words of a rating are gone. Its key and hash are kept beside it, so that it is known
//! when it is reported again.

use std::collections::BTreeSet;

use prost::Message as _;
use springtide_proto::ids::ConversationId;
use springtide_proto::metering::UsageEvent;

use crate::rating::plan::is_identifying;

/// Stands where something was erased.
pub const ERASED: &str = "(erased)";
/// Most conversations at a time.
pub const MAX_CONVERSATIONS: usize = 1_000;
/// In free text, a shorter conversation id may be any word.
const SHORTEST_IN_TEXT: usize = 6;

/// Conversations of one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversations(BTreeSet<ConversationId>);

impl Conversations {
    /// At least one.
    pub fn new(conversations: BTreeSet<ConversationId>) -> Option<Self> {
        (!conversations.is_empty()).then_some(Self(conversations))
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// What every row that is to be erased has somewhere in it.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// An event's bytes without what tells its customer; `None` if it is of another conversation, or no event.
    pub fn erase(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let event = UsageEvent::decode(payload).ok()?;
        self.is_one_of_its(&event).then(|| without_customer(event))
    }

    /// A message to a tenant without the examples that are of one of the conversations; `None` if it has none of them.
    pub fn without_examples(&self, message: &str) -> Option<String> {
        let mut message: serde_json::Value = serde_json::from_str(message).ok()?;
        let examples = message.get_mut("examples")?.as_array_mut()?;
        let before = examples.len();
        examples.retain(|example| {
            let of = example.get("conversation").and_then(serde_json::Value::as_str);
            !self.0.iter().any(|id| of == Some(id.as_str()))
        });
        (examples.len() < before).then(|| message.to_string())
    }

    /// Free text, or bytes that are no event, name one of the conversations.
    pub fn are_named_in(&self, text: &[u8]) -> bool {
        self.long().any(|id| find(text, id.as_bytes(), 0).is_some())
    }

    /// Free text without the conversations that it names; `None` if it names none.
    pub fn without_names(&self, text: &str) -> Option<String> {
        let mut left = text.to_owned();
        for id in self.long() {
            let mut from = 0;
            while let Some(start) = find(left.as_bytes(), id.as_bytes(), from) {
                left.replace_range(start..start + id.len(), ERASED);
                from = start + ERASED.len();
            }
        }
        (left != text).then_some(left)
    }

    fn long(&self) -> impl Iterator<Item = &str> {
        let ids = self.0.iter().map(ConversationId::as_str);
        ids.filter(|id| id.len() >= SHORTEST_IN_TEXT)
    }

    fn is_one_of_its(&self, event: &UsageEvent) -> bool {
        let dimension = event
            .dimensions
            .iter()
            .find(|dimension| dimension.key == "conversation");
        if let Some(dimension) = dimension {
            return self.0.iter().any(|id| id.as_str() == dimension.value);
        }
        let begins = |identity: &str| {
            let mut ids = self.0.iter();
            ids.any(|id| {
                let rest = identity.strip_prefix(id.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        begins(&event.id) || begins(&event.reversal_of)
    }
}

/// The same event, of nobody.
pub fn erased(payload: &[u8]) -> Vec<u8> {
    UsageEvent::decode(payload)
        .map(without_customer)
        .unwrap_or_default()
}

fn without_customer(event: UsageEvent) -> Vec<u8> {
    // Without `..`: what is forgotten here would stay.
    let UsageEvent {
        tenant_uid,
        tenant,
        source,
        id: _,
        meter,
        quantity,
        event_time,
        mut dimensions,
        reversal_of,
    } = event;
    dimensions.retain(|dimension| !is_identifying(&meter, &dimension.key));
    let reversal_of = if reversal_of.is_empty() {
        reversal_of
    } else {
        ERASED.to_owned()
    };
    let event = UsageEvent {
        tenant_uid,
        tenant,
        source,
        id: ERASED.to_owned(),
        meter,
        quantity,
        event_time,
        dimensions,
        reversal_of,
    };
    event.encode_to_vec()
}

/// Where `id` stands in `text` at or after `from`, and is not a part of a longer word.
fn find(text: &[u8], id: &[u8], from: usize) -> Option<usize> {
    let is_inner =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte));
    let mut places = text.windows(id.len()).enumerate().skip(from);
    let found = places.find(|(start, window)| {
        let before = start.checked_sub(1).and_then(|before| text.get(before));
        *window == id && !is_inner(before) && !is_inner(text.get(start + id.len()))
    });
    found.map(|(start, _)| start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_named_as_a_whole_word_alone() {
        let named = Conversations::new(["conv-7711".parse().unwrap(), "ab".parse().unwrap()].into()).unwrap();
        for (text, without) in [
            ("conv-7711", Some("(erased)")),
            (
                "in (conv-7711), twice: conv-7711",
                Some("in ((erased)), twice: (erased)"),
            ),
            ("会话conv-7711重复", Some("会话(erased)重复")),
            ("conv-77112, conv-7711", Some("conv-77112, (erased)")),
            ("conv-77112", None),
            ("my-conv-7711", None),
            ("ab", None),
        ] {
            assert_eq!(named.are_named_in(text.as_bytes()), without.is_some(), "{text}");
            assert_eq!(named.without_names(text).as_deref(), without, "{text}");
        }
        assert_eq!(Conversations::new(BTreeSet::new()), None);
    }

    #[test]
    fn examples_in_messages_go_with_their_customer_and_the_others_stay() {
        let named = Conversations::new(["c1".parse().unwrap()].into()).unwrap();
        let message = |examples: &str| format!(r#"{{"alert":"complaints","examples":[{examples}]}}"#);
        let (of_its, of_another) = (
            r#"{"comment":"x","conversation":"c1"}"#,
            r#"{"conversation":"c11"}"#,
        );
        let both = message(&format!("{of_its},{of_another}"));
        assert_eq!(named.without_examples(&both), Some(message(of_another)));
        for other in [
            &message(of_another),
            "{}",
            "[]",
            "no message",
            r#"{"examples":"c1"}"#,
        ] {
            assert_eq!(named.without_examples(other), None, "{other}");
        }
    }
}
