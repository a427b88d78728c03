//! How often one may ask: each token and each address has an allowance that fills again with time.
//!
//! An *allowance* is kept as the instant at which it will be full again; one that is full is as good as none and is
//! forgotten, so that memory is bounded. Who asks too often hears when to come back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use springtide_proto::error::{ApiError, Reason};

use super::auth::{bearer, session_secret};
use super::visit::{PortalQuery, failed, view};
use super::{Failure, WebState, office};
use crate::digest::Digest;

/// Allowances that are kept at most.
const KEPT: usize = 20_000;
/// Of a token: requests at once, and how soon one more is allowed.
const OF_TOKEN: Allowance = Allowance {
    burst: 300,
    every: SignedDuration::from_millis(20),
};
/// Of an address, behind which there may be a whole firm.
const OF_ADDRESS: Allowance = Allowance {
    burst: 1000,
    every: SignedDuration::from_millis(10),
};
/// What an attempt to sign in by a token takes of an address's allowance.
const SIGN_IN_COST: i32 = 100;
/// What a page of signing in at a firm's own provider takes: it looks up a firm's name, writes a row, or asks the provider.
const PROVIDER_COST: i32 = 20;

/// How much may be asked at once, and how soon one more.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    burst: i32,
    every: SignedDuration,
}

/// The allowances of all who asked of late.
#[derive(Clone, Debug, Default)]
pub(super) struct Limiter(Arc<Mutex<HashMap<Digest, Timestamp>>>);

impl Limiter {
    /// Takes `cost` of an allowance, or says how long to wait until there is as much.
    fn take(
        &self,
        key: Digest,
        allowance: Allowance,
        cost: i32,
        now: Timestamp,
    ) -> Result<(), SignedDuration> {
        let mut full_at = self.0.lock();
        if full_at.len() >= KEPT && !full_at.contains_key(&key) {
            forget(&mut full_at, now);
        }
        let before = full_at.get(&key).copied().unwrap_or(now).max(now);
        let after = before.saturating_add(allowance.every * cost).unwrap_or(before);
        let missing = after.duration_since(now) - allowance.every * allowance.burst;
        if missing.is_positive() {
            return Err(missing);
        }
        full_at.insert(key, after);
        Ok(())
    }
}

/// Forgets what is full, and if that is not enough, the half that is nearest to it.
fn forget(full_at: &mut HashMap<Digest, Timestamp>, now: Timestamp) {
    full_at.retain(|_, full_at| *full_at > now);
    if full_at.len() >= KEPT {
        let mut instants: Vec<_> = full_at.values().copied().collect();
        let middle = instants.len() / 2;
        let (_, middle, _) = instants.select_nth_unstable(middle);
        let middle = *middle;
        let mut too_many = full_at.len() - KEPT / 2;
        full_at.retain(|_, full_at| {
            let goes = *full_at <= middle && too_many > 0;
            too_many -= usize::from(goes);
            !goes
        });
    }
}

/// Lets a request through, or says when to come back.
pub(super) async fn limited(State(state): State<WebState>, request: Request, next: Next) -> Response {
    let now = state.clock.now();
    let path = request.uri().path();
    let cost = match path {
        "/sign-in" | "/office/sign-in" if request.method() == Method::POST => SIGN_IN_COST,
        path if path.starts_with("/sign-in") => PROVIDER_COST,
        _ => 1,
    };
    let address = Digest::of(format!("address {}", address_of(&request)).as_bytes());
    let by_address = state.limiter.take(address, OF_ADDRESS, cost, now);
    let allowed = by_address.and_then(|()| match secret_of(request.headers()) {
        Some(secret) => state.limiter.take(secret, OF_TOKEN, 1, now),
        None => Ok(()),
    });
    match allowed {
        Ok(()) => next.run(request).await,
        Err(wait) => refused(request.headers(), path, wait),
    }
}

/// The ingress in front of us appends whom it speaks for; what stands before that anybody can write.
fn address_of(request: &Request) -> String {
    let forwarded = request.headers().get_all("x-forwarded-for").iter().next_back();
    let last = forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next());
    let peer = || {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        peer.map_or_else(String::new, |ConnectInfo(peer)| peer.ip().to_string())
    };
    last.map_or_else(peer, |address| address.trim().to_owned())
}

fn secret_of(headers: &HeaderMap) -> Option<Digest> {
    bearer(headers)
        .map(|token| Digest::of(token.as_bytes()))
        .or_else(|| session_secret(headers))
        .or_else(|| office::session_secret(headers))
}

fn refused(headers: &HeaderMap, path: &str, wait: SignedDuration) -> Response {
    let error = ApiError::new(
        Reason::TooManyRequests,
        "too many requests; come back after the seconds of Retry-After",
    );
    let mut response = if path.starts_with("/api/") {
        Failure(error).into_response()
    } else {
        failed(&view(headers, &PortalQuery::default(), path), &error)
    };
    // Whole seconds, upwards: who waits that long is let through.
    let seconds = wait.as_millis().div_euclid(1000) + 1;
    if let Ok(value) = HeaderValue::try_from(seconds.to_string()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Allowance = Allowance {
        burst: 3,
        every: SignedDuration::from_secs(10),
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn an_allowance_ends_fills_again_and_is_nobody_elses() {
        let limiter = Limiter::default();
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        for _ in 0..3 {
            assert_eq!(limiter.take(one, SMALL, 1, at(0)), Ok(()));
        }
        assert_eq!(
            limiter.take(one, SMALL, 1, at(4)),
            Err(SignedDuration::from_secs(6))
        );
        assert_eq!(limiter.take(other, SMALL, 3, at(4)), Ok(()));
        assert_eq!(
            limiter.take(one, SMALL, 1, at(10)),
            Ok(()),
            "who waits as told is let through"
        );
        assert!(limiter.take(one, SMALL, 1, at(10)).is_err());
    }

    #[test]
    fn memory_is_bounded_and_who_asks_most_is_not_forgotten() {
        let limiter = Limiter::default();
        let busy = Digest::of(b"busy");
        assert_eq!(limiter.take(busy, SMALL, 3, at(0)), Ok(()));
        for number in 0..3 * KEPT {
            let key = Digest::of(number.to_string().as_bytes());
            assert_eq!(limiter.take(key, SMALL, 1, at(0)), Ok(()));
            assert!(limiter.0.lock().len() <= KEPT);
        }
        assert!(limiter.take(busy, SMALL, 1, at(1)).is_err());
    }
}
