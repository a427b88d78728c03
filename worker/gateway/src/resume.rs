//! The resume token as clients hold it: `1.SEQUENCE.POD_UID.TOKEN`.
//!
//! TOKEN is what a worker sealed, in base64url. SEQUENCE (turns answered) lets the gateway take the newer of its own token and
//! the client's; POD_UID is the worker that may still have the conversation in memory. Both are hints: a wrong one costs a
//! detour, because the worker trusts only what is sealed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::ids::PodUid;

/// Longest token of a client, in characters.
const MAX_CLIENT_TOKEN: usize = 6_144;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeToken {
    /// Turns answered when it was sealed.
    pub sequence: u32,
    /// The worker that sealed it.
    pub worker: PodUid,
    /// What it sealed.
    pub sealed: Bytes,
}

impl ResumeToken {
    /// For the client.
    pub fn to_client(&self) -> String {
        format!(
            "1.{}.{}.{}",
            self.sequence,
            self.worker,
            URL_SAFE_NO_PAD.encode(&self.sealed)
        )
    }

    /// From the client; an empty text is no token.
    pub fn from_client(text: &str) -> Result<Option<Self>, ApiError> {
        if text.is_empty() {
            return Ok(None);
        }
        Self::parse(text).map(Some).ok_or_else(|| {
            ApiError::new(
                Reason::ResumeTokenRefused,
                "the resume token is not one of ours: send it as it came, or begin a new conversation",
            )
            .with_field("resume_token")
        })
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_CLIENT_TOKEN {
            return None;
        }
        // The pod's UID may hold dots, the token cannot.
        let (head, sealed) = text.strip_prefix("1.")?.rsplit_once('.')?;
        let (sequence, worker) = head.split_once('.')?;
        Some(Self {
            sequence: sequence.parse().ok()?,
            worker: PodUid::parse(worker).ok()?,
            sealed: URL_SAFE_NO_PAD.decode(sealed).ok()?.into(),
        })
    }
}

/// The one with more turns; the client's if they are equal.
pub fn newer(own: Option<ResumeToken>, clients: Option<ResumeToken>) -> Option<ResumeToken> {
    match (own, clients) {
        (Some(own), Some(clients)) => Some(if own.sequence > clients.sequence {
            own
        } else {
            clients
        }),
        (own, clients) => own.or(clients),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(sequence: u32) -> ResumeToken {
        ResumeToken {
            sequence,
            worker: PodUid::parse("uid.1-2").unwrap(),
            sealed: Bytes::from_static(&[0, 255, 7]),
        }
    }

    #[test]
    fn a_token_comes_back_from_the_client_as_it_went() {
        assert_eq!(
            ResumeToken::from_client(&token(3).to_client()).unwrap(),
            Some(token(3))
        );
        assert_eq!(ResumeToken::from_client("").unwrap(), None);
        for wrong in [
            "x",
            "1.3.uid",
            "2.3.uid.AA",
            "1.-3.uid.AA",
            "1.3.uid.A*",
            &"1.3.u.A".repeat(2_000),
        ] {
            assert_eq!(
                ResumeToken::from_client(wrong).unwrap_err().reason,
                Reason::ResumeTokenRefused,
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_newer_token_counts_whoever_holds_it() {
        assert_eq!(newer(Some(token(2)), Some(token(1))), Some(token(2)));
        assert_eq!(newer(Some(token(1)), Some(token(2))), Some(token(2)));
        assert_eq!(newer(None, Some(token(1))), Some(token(1)));
    }
}
