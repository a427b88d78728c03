//! The HTTP channel: JSON in, JSON out.
//!
//! - `POST /v1/conversations/{conversation}/turns` takes a turn: 200 with the reply, or 202 with a place in the waiting room
//!   (send the same turn again to ask again; the place is kept).
//! - `POST /v1/conversations/{conversation}/rating` says how the customer liked it, with `score` (1 to 5) and `comment`: 204; 404
//!   where nothing of it was answered here. The later rating of a conversation takes the place of the earlier one.
//! - `POST /v1/conversations/{conversation}/close` ends the conversation: 204.
//! - `GET /v1/conversations/{conversation}/ws`: [`crate::websocket`].
//! - `GET /`: the chat page.
//!
//! Errors are `{"error": {"reason", "message", "field"}}` with the status of the error-code table.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use springtide_proto::conversation::Reply;
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::ids::{ConversationId, TurnId};
use springtide_runtime::clock::Clock;
use springtide_runtime::probe::{PROBE_HEADER, ProbeKey};

use crate::relay::{CustomerTurn, Place, Relay, Relayed, kind_text};
use crate::resume::ResumeToken;

/// Largest body, in bytes.
const MAX_BODY: usize = 16 * 1024;
/// Longest message, in characters; the worker checks the same.
const MAX_TEXT: usize = 2_000;
/// A turn waits this long for a worker unless its sender says otherwise.
const DEFAULT_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT_SECONDS: u64 = 25;
/// No turn is kept waiting for longer, whatever its sender says.
pub const LONGEST_WAIT: Duration = Duration::from_secs(LONGEST_WAIT_SECONDS);

/// What the channels share.
#[derive(Clone)]
pub struct Door {
    /// Takes turns.
    pub relay: Arc<Relay>,
    /// Stamps arrivals.
    pub clock: Arc<dyn Clock>,
    /// What the operator's probes are known by; without it none is.
    pub probe_key: Option<ProbeKey>,
}

/// A turn as a client writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnBody {
    turn_id: String,
    text: String,
    #[serde(default = "web")]
    channel: String,
    #[serde(default)]
    resume_token: String,
    wait_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CloseBody {
    resume_token: String,
}

fn web() -> String {
    "web".to_owned()
}

/// A reply as a client reads it.
#[derive(Debug, Serialize)]
pub struct ReplyBody {
    conversation: String,
    turn_id: String,
    /// unique, list or sorry.
    kind: &'static str,
    text: String,
    answer_id: Option<String>,
    candidates: Vec<CandidateBody>,
    replayed: bool,
    turn_sequence: u32,
    resume_token: String,
}

#[derive(Debug, Serialize)]
struct CandidateBody {
    answer_id: String,
    question: String,
}

/// A place in the waiting room as a client reads it.
#[derive(Debug, Serialize)]
pub struct WaitingBody {
    waiting: bool,
    position: usize,
    estimate_seconds: Option<u64>,
    retry_after_seconds: u64,
}

/// All routes of the gateway.
pub fn router(door: Door) -> Router {
    Router::new()
        .route("/v1/conversations/{conversation}/turns", post(take_turn))
        .route(
            "/v1/conversations/{conversation}/rating",
            post(crate::rating::rate),
        )
        .route("/v1/conversations/{conversation}/close", post(close))
        .route(
            "/v1/conversations/{conversation}/ws",
            get(crate::websocket::upgrade),
        )
        .merge(crate::page::routes())
        .fallback(|| async { Refusal(ApiError::new(Reason::NotFound, "there is nothing here")) })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(door)
}

async fn take_turn(
    State(door): State<Door>,
    Path(conversation): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let arrived_at = door.clock.now();
    let body: TurnBody = parse(&body)?;
    let turn = body.check(ConversationId::parse(conversation.clone())?, arrived_at)?;
    if let Some(signature) = headers.get(PROBE_HEADER) {
        let answered = door.probe(signature, uri.path(), &turn).await?;
        let status = if answered {
            StatusCode::OK
        } else {
            StatusCode::ACCEPTED
        };
        return Ok(status.into_response());
    }
    match door.relay.take(turn).outcome.await.map_err(|_| gone())?? {
        Relayed::Waiting(place) => {
            Ok((StatusCode::ACCEPTED, axum::Json(WaitingBody::from(place))).into_response())
        }
        Relayed::Replied(witnessed) => {
            let (reply, token) = witnessed.delivered();
            Ok(axum::Json(ReplyBody::new(conversation, reply, &token)).into_response())
        }
    }
}

async fn close(
    State(door): State<Door>,
    Path(conversation): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let body: CloseBody = if body.is_empty() {
        CloseBody::default()
    } else {
        parse(&body)?
    };
    let conversation = ConversationId::parse(conversation)?;
    let token = ResumeToken::from_client(&body.resume_token)?;
    door.relay.close(&conversation, token).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads JSON; what is wrong is said in our words.
pub fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(text)
        .map_err(|error| ApiError::invalid("body", format!("the body is not what is expected: {error}")))
}

impl TurnBody {
    /// Wire to domain.
    pub fn check(
        self,
        conversation: ConversationId,
        arrived_at: jiff::Timestamp,
    ) -> Result<CustomerTurn, ApiError> {
        let Self {
            turn_id,
            text,
            channel,
            resume_token,
            wait_seconds,
        } = self;
        let turn = TurnId::parse(turn_id)?;
        let text = text.trim();
        if text.is_empty() || text.chars().count() > MAX_TEXT {
            return Err(ApiError::invalid(
                "text",
                format!("text must have 1 to {MAX_TEXT} characters"),
            ));
        }
        let wait = wait_seconds.map_or(DEFAULT_WAIT, |seconds| {
            Duration::from_secs(seconds.min(LONGEST_WAIT_SECONDS))
        });
        let token = ResumeToken::from_client(&resume_token)?;
        Ok(CustomerTurn {
            conversation,
            turn,
            text: text.to_owned(),
            channel,
            token,
            arrived_at,
            wait,
        })
    }
}

impl ReplyBody {
    /// Domain to wire.
    pub fn new(conversation: String, reply: Reply, token: &ResumeToken) -> Self {
        let kind = kind_text(reply.kind());
        let Reply {
            turn_id,
            kind: _,
            text,
            answer_id,
            candidates,
            resume_token: _,
            usage_event: _,
            replayed,
            turn_sequence,
        } = reply;
        let candidates = candidates.into_iter();
        Self {
            conversation,
            turn_id,
            kind,
            text,
            answer_id: (!answer_id.is_empty()).then_some(answer_id),
            candidates: candidates
                .map(|one| CandidateBody {
                    answer_id: one.answer_id,
                    question: one.question,
                })
                .collect(),
            replayed,
            turn_sequence,
            resume_token: token.to_client(),
        }
    }
}

impl From<Place> for WaitingBody {
    fn from(place: Place) -> Self {
        let Place { position, estimate } = place;
        Self {
            waiting: true,
            position,
            estimate_seconds: estimate.map(|estimate| estimate.as_secs().max(1)),
            retry_after_seconds: 1,
        }
    }
}

/// The relay ended without an outcome: only when the process ends.
pub fn gone() -> ApiError {
    ApiError::new(
        Reason::Unavailable,
        "this gateway is ending: send the same turn again",
    )
}

/// An error as an HTTP answer.
#[derive(Debug)]
pub struct Refusal(pub ApiError);

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.reason.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self.0.http_body())).into_response();
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}
