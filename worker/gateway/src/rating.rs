//! A customer's rating of a conversation, from the door to a record in the spool.
//!
//! It is this gateway's word alone, of a conversation that it knows: one of which it answered a message, as far as it is kept
//! in mind ([`crate::rateable`]) or goes on in the spool. Rating again replaces what was said before.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::ids::ConversationId;
use springtide_proto::rated::{Comment, Rating, Score};

use crate::http::{Door, Refusal, parse};
use crate::rateable::Heard;
use crate::relay::Relay;

/// Longest comment that is read at all, in characters; of it the beginning is kept.
const LONGEST_COMMENT: usize = 2_000;

/// A rating as a client writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatingBody {
    score: i64,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default)]
    channel: Option<String>,
}

/// A customer's rating, checked.
#[derive(Clone, Debug)]
pub struct CustomerRating {
    /// The session.
    pub conversation: ConversationId,
    /// How it was liked.
    pub score: Score,
    /// In the customer's words, masked.
    pub comment: Option<Comment>,
    /// The channel it came by; that of the conversation if it is not said.
    pub channel: Option<String>,
    /// When it reached the door.
    pub arrived_at: Timestamp,
}

/// `POST /v1/conversations/{conversation}/rating`.
pub async fn rate(
    State(door): State<Door>,
    Path(conversation): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let arrived_at = door.clock.now();
    let body: RatingBody = parse(&body)?;
    let rating = body.check(ConversationId::parse(conversation)?, arrived_at)?;
    door.relay.rate(rating).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl RatingBody {
    /// Wire to domain.
    pub fn check(
        self,
        conversation: ConversationId,
        arrived_at: Timestamp,
    ) -> Result<CustomerRating, ApiError> {
        let Self {
            score,
            comment,
            channel,
        } = self;
        let comment = comment.unwrap_or_default();
        if comment.chars().count() > LONGEST_COMMENT {
            return Err(ApiError::invalid(
                "comment",
                format!("comment must have at most {LONGEST_COMMENT} characters"),
            ));
        }
        Ok(CustomerRating {
            conversation,
            score: Score::new(score)?,
            comment: Comment::of(&comment),
            channel,
            arrived_at,
        })
    }
}

impl Relay {
    /// Takes a rating; it is durable when this returns.
    pub async fn rate(&self, rating: CustomerRating) -> Result<(), ApiError> {
        let Some(_writing) = self.rateable.begin() else {
            return Err(ApiError::new(
                Reason::TooManyRequests,
                "too many ratings at once: rate again in a moment",
            ));
        };
        self.check_spool().await?;
        let CustomerRating {
            conversation,
            score,
            comment,
            channel,
            arrived_at,
        } = rating;
        let Heard {
            channel: heard_on,
            answer_id,
        } = self.heard_of(&conversation).await?;
        let channel = channel.unwrap_or(heard_on);
        let unknown = || ApiError::invalid("channel", format!("there is no channel {channel:?}"));
        let rating = Rating {
            rated_at: arrived_at,
            score,
            comment,
            answer_id,
            pool: self.channels.pool(&channel).ok_or_else(unknown)?.clone(),
            channel,
            conversation,
            tenant: self.tenant.clone(),
            tenant_uid: self.tenant_uid.clone(),
        };
        let written = self.spool.rate(&rating).await;
        written.map_err(|error| {
            ApiError::new(
                Reason::SpoolUnavailable,
                format!("{error}: rate again in a moment"),
            )
        })?;
        self.metrics.rated(score);
        Ok(())
    }

    /// What this gateway knows of a conversation; one in which it answered nothing cannot be rated.
    async fn heard_of(&self, conversation: &ConversationId) -> Result<Heard, ApiError> {
        if let Some(heard) = self.rateable.find(conversation) {
            return Ok(heard);
        }
        let goes_on = self.spool.conversation(conversation).await.map_err(|error| {
            ApiError::new(
                Reason::SpoolUnavailable,
                format!("{error}: rate again in a moment"),
            )
        })?;
        let heard = goes_on.map(|end| Heard {
            channel: end.channel,
            answer_id: None,
        });
        heard.ok_or_else(|| {
            ApiError::new(
                Reason::NotFound,
                "no message of this conversation was answered here, so there is nothing to rate",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(body: &str) -> Result<CustomerRating, ApiError> {
        let body: RatingBody = parse(body.as_bytes())?;
        body.check(ConversationId::parse("c1").unwrap(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_rating_has_a_score_of_five_and_whatever_else_is_optional() {
        let rating = checked(r#"{"score": 2, "comment": " 138 0013 8000 ", "channel": "app"}"#).unwrap();
        assert_eq!(
            (rating.score.number(), rating.comment, rating.channel),
            (2, Comment::of("***"), Some("app".into()))
        );
        let rating = checked(r#"{"score": 5, "comment": "  "}"#).unwrap();
        assert_eq!((rating.comment, rating.channel), (None, None));
        let too_long = format!(r#"{{"score": 5, "comment": "{}"}}"#, "长".repeat(2_001));
        for wrong in [
            "",
            "{}",
            r#"{"score": 0}"#,
            r#"{"score": 6}"#,
            r#"{"score": "5"}"#,
            r#"{"score": 4.5}"#,
            r#"{"score": 5, "stars": 5}"#,
            &too_long,
        ] {
            assert_eq!(
                checked(wrong).unwrap_err().reason,
                Reason::InvalidArgument,
                "{wrong}"
            );
        }
    }
}
