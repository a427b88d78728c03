//! The usage event of a rating: how a customer liked a conversation.
//!
//! The gateway at which it was rated makes it; workers know nothing of it. All ratings of a conversation have one identity, and
//! the greatest counts (see the order of [`Rating`]): who rates again has changed their mind, at whichever gateway that was.
//!
//! The *comment* is the one text of a customer that a usage record may hold. It is short, and [`masked`](crate::masked) whoever
//! makes it.

use std::fmt;

use jiff::Timestamp;
use prost::Message as _;

use crate::error::ApiError;
use crate::event::{decoded_of_source, dimension_of};
use crate::ids::{ConversationId, PoolId, TenantId, TenantUid};
use crate::masked::masked;
use crate::metering::{Dimension, UsageEvent};
use crate::time::{timestamp_from_wire, timestamp_to_wire};

/// `source` of events that are ratings; their `id` is the conversation.
pub const RATING_SOURCE: &str = "rating";
/// Meter of ratings. No plan prices it unless it says so.
pub const METER_RATINGS: &str = "ratings";
/// The dimension with the customer's words.
pub const COMMENT: &str = "comment";
/// Longest comment, in characters.
pub const MAX_COMMENT: usize = 64;
/// Longest id of a knowledge entry that a rating names, in characters: what billing takes of a dimension.
const MAX_ANSWER_ID: usize = 64;

/// From 1 (very bad) to 5 (very good).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u8);

impl Score {
    /// All of them, the worst first.
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// Of a number.
    pub fn new(number: i64) -> Result<Self, ApiError> {
        let found = Self::ALL
            .into_iter()
            .find(|score| i64::from(score.number()) == number);
        found.ok_or_else(|| ApiError::invalid("score", "score must be a whole number from 1 to 5"))
    }

    /// The score of that text, as dimensions have it.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let found = Self::ALL.into_iter().find(|score| score.to_string() == text);
        found.ok_or_else(|| ApiError::invalid("dimensions.score", "score must be 1, 2, 3, 4 or 5"))
    }

    /// As a number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The customer is satisfied: 4 or 5.
    pub fn is_good(self) -> bool {
        self.0 >= 4
    }

    /// The customer complains: 1 or 2.
    pub fn is_bad(self) -> bool {
        self.0 <= 2
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a customer wrote of it: in one line, without personal data, and short.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Comment(String);

impl Comment {
    /// Of what a customer wrote; `None` if nothing is left of it. What is too long is cut.
    pub fn of(text: &str) -> Option<Self> {
        let visible: String = text.chars().filter(|c| !is_invisible(*c)).collect();
        let spaced: String = visible
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
        // Before it is cut, so that half a number is not left over.
        let line = masked(&line);
        let short = if line.chars().count() > MAX_COMMENT {
            let kept: String = line.chars().take(MAX_COMMENT - 1).collect();
            format!("{}…", kept.trim_end())
        } else {
            line
        };
        (!short.is_empty()).then_some(Self(short))
    }

    /// The text of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Takes no room and may turn the line around: nobody sees it, and it hides numbers.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A customer's rating of a conversation. In the order of what counts: the later one; then anything, as long as it is the same
/// for everybody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rating {
    /// When it reached the gateway's door.
    pub rated_at: Timestamp,
    /// How the customer liked it.
    pub score: Score,
    /// In the customer's words.
    pub comment: Option<Comment>,
    /// The knowledge entry of the conversation's last single answer, if the gateway knows it.
    pub answer_id: Option<String>,
    /// The channel.
    pub channel: String,
    /// The pool that it goes to.
    pub pool: PoolId,
    /// The session.
    pub conversation: ConversationId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Identity of that tenant over time.
    pub tenant_uid: TenantUid,
}

impl Rating {
    /// The event's bytes. Equal ratings encode to equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Without `..`: what is forgotten here nobody hears of.
        let Self {
            rated_at,
            score,
            comment,
            answer_id,
            channel,
            pool,
            conversation,
            tenant,
            tenant_uid,
        } = self;
        let score = score.to_string();
        // An id beyond what billing takes would have the whole rating refused.
        let answer_id = answer_id
            .as_deref()
            .filter(|id| id.chars().count() <= MAX_ANSWER_ID);
        let dimensions = [
            ("answer_id", answer_id),
            ("channel", Some(channel.as_str())),
            (COMMENT, comment.as_ref().map(Comment::as_str)),
            ("conversation", Some(conversation.as_str())),
            ("pool", Some(pool.as_str())),
            ("score", Some(score.as_str())),
        ];
        let said = dimensions.into_iter().filter_map(|(key, value)| {
            Some(Dimension {
                key: key.to_owned(),
                value: value?.to_owned(),
            })
        });
        UsageEvent {
            tenant_uid: tenant_uid.to_string(),
            tenant: tenant.to_string(),
            source: RATING_SOURCE.to_owned(),
            id: conversation.to_string(),
            meter: METER_RATINGS.to_owned(),
            quantity: "1".to_owned(),
            event_time: Some(timestamp_to_wire(*rated_at)),
            dimensions: said.collect(),
            reversal_of: String::new(),
        }
        .encode_to_vec()
    }

    /// Reads it back from its event's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ApiError> {
        let event = decoded_of_source(bytes, RATING_SOURCE)?;
        let find = |key: &str| dimension_of(&event, key);
        let text = |key: &str| find(key).unwrap_or_default();
        Ok(Self {
            rated_at: timestamp_from_wire(event.event_time, "event_time")?,
            score: Score::parse(&text("score"))?,
            comment: find(COMMENT).as_deref().and_then(Comment::of),
            answer_id: find("answer_id"),
            channel: text("channel"),
            pool: PoolId::parse(text("pool"))?,
            conversation: ConversationId::parse(text("conversation"))?,
            tenant: TenantId::parse(event.tenant)?,
            tenant_uid: TenantUid::parse(event.tenant_uid)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MAX_EVENT;

    fn rating(second: i64, score: i64) -> Rating {
        Rating {
            rated_at: Timestamp::from_second(second).unwrap(),
            score: Score::new(score).unwrap(),
            comment: Comment::of("太慢了"),
            answer_id: Some("refund-time".into()),
            channel: "web".into(),
            pool: PoolId::parse("web").unwrap(),
            conversation: ConversationId::parse("c1").unwrap(),
            tenant: TenantId::parse("acme").unwrap(),
            tenant_uid: TenantUid::parse("uid-acme").unwrap(),
        }
    }

    #[test]
    fn a_rating_reads_back_from_its_bytes_with_or_without_words_and_no_other_event_is_one() {
        let plain = Rating {
            comment: None,
            answer_id: None,
            ..rating(7, 5)
        };
        for rating in [rating(7, 1), plain] {
            assert_eq!(Rating::decode(&rating.encode()).unwrap(), rating);
            assert_eq!(rating.encode(), rating.clone().encode());
        }
        let end = UsageEvent {
            source: "conversation".into(),
            ..UsageEvent::decode(&rating(7, 1).encode()[..]).unwrap()
        };
        assert!(Rating::decode(&end.encode_to_vec()).is_err());
    }

    #[test]
    fn the_longest_rating_stays_within_the_limit_and_its_dimensions_are_sorted() {
        let longest = Rating {
            comment: Comment::of(&"满意".repeat(1_000)),
            answer_id: Some("答".repeat(64)),
            channel: "c".repeat(64),
            pool: PoolId::parse("p".repeat(40)).unwrap(),
            conversation: ConversationId::parse("c".repeat(64)).unwrap(),
            ..rating(7, 3)
        };
        let bytes = longest.encode();
        assert!(bytes.len() <= MAX_EVENT);
        let event = UsageEvent::decode(&bytes[..]).unwrap();
        assert!(event.dimensions.is_sorted_by(|one, next| one.key < next.key));
        assert!(
            event
                .dimensions
                .iter()
                .all(|dimension| dimension.value.chars().count() <= 64)
        );
        let beyond = Rating {
            answer_id: Some("a".repeat(65)),
            ..rating(7, 3)
        };
        assert_eq!(Rating::decode(&beyond.encode()).unwrap().answer_id, None);
    }

    #[test]
    fn the_later_rating_counts_whatever_it_says() {
        assert!(rating(8, 1) > rating(7, 5));
        assert!(rating(8, 5) > rating(7, 1));
        assert_ne!(rating(7, 1).cmp(&rating(7, 2)), std::cmp::Ordering::Equal);
    }

    #[test]
    fn a_score_is_one_of_five_and_three_is_neither_good_nor_bad() {
        for number in 1..=5 {
            let score = Score::new(number).unwrap();
            assert_eq!(Score::parse(&score.to_string()).unwrap(), score);
            assert_eq!((score.is_bad(), score.is_good()), (number < 3, number > 3));
        }
        for wrong in [0, 6, -1, i64::MAX] {
            assert!(Score::new(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "0", "6", "01", "5.0", "five"] {
            assert!(Score::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_comment_is_one_short_line_without_personal_data() {
        for (written, kept) in [
            ("  太慢了\n\n等了很久\t", Some("太慢了 等了很久")),
            ("打 138 0013 8000 找我", Some("打 *** 找我")),
            ("1\u{200b}3\u{200b}8\u{200b}0\u{200b}0", Some("***")),
            (" \u{3000}\n", None),
            ("", None),
        ] {
            assert_eq!(
                Comment::of(written).as_ref().map(Comment::as_str),
                kept,
                "{written:?}"
            );
        }
        let cut = Comment::of(&format!("{}13800138000", "长".repeat(60))).unwrap();
        assert_eq!(
            cut.as_str(),
            format!("{}***", "长".repeat(60)),
            "no half number is left"
        );
        let cut = Comment::of(&"长".repeat(65)).unwrap();
        assert_eq!(cut.as_str(), format!("{}…", "长".repeat(63)));
        assert_eq!(
            Comment::of(cut.as_str()),
            Some(cut),
            "what is one already stays as it is"
        );
    }
}
