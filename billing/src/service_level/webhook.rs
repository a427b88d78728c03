//! Signed messages to a tenant's own address.
//!
//! A message is posted as JSON with the header `springtide-signature: t=SECONDS,v1=HEX`: HEX is the HMAC-SHA256 of the seconds, a
//! dot and the body, with the secret that `alerts set` printed. The receiver checks it, and that the seconds are not long ago.
//! Any 2xx is taken for received; redirects are not followed. What is not received is sent again with growing pauses for a day.

use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use jiff::{SignedDuration, Timestamp};
use ring::hmac;

use crate::https::{self, HttpsClient};
use crate::store::{AlertTarget, Attempt, DueDelivery};

/// The header with the signature.
pub const SIGNATURE: &str = "springtide-signature";
/// Longest wait for a receiver.
pub const TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_PAUSE_SECONDS: i64 = 10;
const LONGEST_PAUSE_SECONDS: i64 = 3_600;
/// What was not received for so long is given up.
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Sends messages.
#[derive(Clone, Debug)]
pub struct Webhooks(HttpsClient);

impl Webhooks {
    /// Trusts the public authorities, as they were when this program was built.
    pub fn new() -> Result<Self, rustls::Error> {
        https::client(https::public_authorities(), TIMEOUT).map(Self)
    }

    /// Sends a message once; what became of it.
    pub async fn send(&self, due: &DueDelivery, now: Timestamp) -> Attempt {
        let error = match tokio::time::timeout(TIMEOUT, self.post(due, now)).await {
            Ok(Ok(status)) if status.is_success() => return Attempt::Delivered,
            Ok(Ok(status)) => format!("answered {status}"),
            Ok(Err(error)) => error,
            Err(_) => "did not answer in time".to_owned(),
        };
        next_attempt(due, now, error)
    }

    async fn post(&self, due: &DueDelivery, now: Timestamp) -> Result<StatusCode, String> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&due.target.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(SIGNATURE, signature(&due.target, &due.body, now))
            .body(Full::from(due.body.clone()))
            .map_err(|error| error.to_string())?;
        let response = self.0.request(request).await;
        response
            .map(|response| response.status())
            .map_err(|error| crate::store::with_causes(&error))
    }
}

/// What the header says.
pub fn signature(target: &AlertTarget, body: &str, now: Timestamp) -> String {
    let seconds = now.as_second();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &target.secret);
    let tag = hmac::sign(&key, format!("{seconds}.{body}").as_bytes());
    let hex = tag
        .as_ref()
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!("t={seconds},v1={hex}")
}

/// Pauses grow threefold from ten seconds to an hour.
fn next_attempt(due: &DueDelivery, now: Timestamp, error: String) -> Attempt {
    let tried = due.attempts.saturating_sub(1).min(10);
    let pause = (FIRST_PAUSE_SECONDS * 3_i64.pow(tried)).min(LONGEST_PAUSE_SECONDS);
    let next = now
        .saturating_add(SignedDuration::from_secs(pause))
        .unwrap_or(Timestamp::MAX);
    if next.duration_since(due.created_at) > GIVE_UP_AFTER {
        Attempt::GivenUp(error)
    } else {
        Attempt::Again(next, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(attempts: u32) -> DueDelivery {
        DueDelivery {
            id: 1,
            target: AlertTarget {
                url: "https://acme.example/alerts".into(),
                secret: b"Jefe".to_vec(),
            },
            body: "{}".into(),
            attempts,
            created_at: "2026-11-11T00:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn the_signature_is_the_hmac_of_seconds_dot_and_body() {
        let now = "2026-11-11T00:00:00Z".parse().unwrap();
        // printf '1794355200.{}' | openssl dgst -sha256 -hmac Jefe
        let expected = "t=1794355200,v1=c8b4774988939ef605ba0d791dc6ac37840f3040382d59fc821272190449e3cd";
        assert_eq!(signature(&due(1).target, "{}", now), expected);
    }

    #[test]
    fn pauses_grow_to_an_hour_and_after_a_day_it_is_given_up() {
        let pause = |attempts: u32, now: &str| {
            let now: Timestamp = now.parse().unwrap();
            match next_attempt(&due(attempts), now, String::new()) {
                Attempt::Again(next, _) => Some(next.duration_since(now).as_secs()),
                _ => None,
            }
        };
        let early = "2026-11-11T00:00:00Z";
        let pauses = [1, 2, 3, 7, 1_000].map(|attempts| pause(attempts, early));
        assert_eq!(pauses, [10, 30, 90, 3_600, 3_600].map(Some));
        assert_eq!(pause(30, "2026-11-11T23:30:00Z"), None);
    }
}
