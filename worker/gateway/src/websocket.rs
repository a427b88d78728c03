//! The WebSocket channel: one conversation a socket, JSON texts both ways.
//!
//! In: `{"type":"turn", …}` with the fields of an HTTP turn, `{"type":"rating", …}` with those of an HTTP rating,
//! `{"type":"close"}`. Out: `{"type":"reply", …}`, `{"type":"waiting", …}` while a turn waits, and
//! `{"type":"error", "turn_id", "error": {…}}`; of a rating `{"type":"rated"}` or `{"type":"rating_refused", "error": {…}}`. After
//! an error the socket lives on.

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use springtide_proto::error::ApiError;
use springtide_proto::ids::ConversationId;

use crate::http::{Door, Refusal, ReplyBody, TurnBody, WaitingBody, gone, parse};
use crate::rating::{CustomerRating, RatingBody};
use crate::relay::{CustomerTurn, Relayed};
use crate::resume::ResumeToken;

/// Largest message, in bytes.
const MAX_MESSAGE: usize = 16 * 1024;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Incoming {
    Turn(TurnBody),
    Rating(RatingBody),
    Close,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Outgoing<'a> {
    Reply(ReplyBody),
    Waiting(WaitingBody),
    Error {
        turn_id: &'a str,
        error: serde_json::Value,
    },
    Rated,
    #[serde(rename = "rating_refused")]
    RatingRefused {
        error: serde_json::Value,
    },
}

/// `GET /v1/conversations/{conversation}/ws`.
pub async fn upgrade(
    State(door): State<Door>,
    Path(conversation): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let conversation = ConversationId::parse(conversation)?;
    let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| converse(door, conversation, socket)))
}

async fn converse(door: Door, conversation: ConversationId, mut socket: WebSocket) {
    let mut token: Option<ResumeToken> = None;
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(text) = message else { continue };
        let arrived_at = door.clock.now();
        let turn = match parse::<Incoming>(text.as_bytes()) {
            Ok(Incoming::Close) => {
                door.relay.close(&conversation, token.take()).await;
                break;
            }
            Ok(Incoming::Rating(body)) => {
                let rating = body.check(conversation.clone(), arrived_at);
                if rate(&door, rating, &mut socket).await.is_err() {
                    return;
                }
                continue;
            }
            Ok(Incoming::Turn(body)) => body.check(conversation.clone(), arrived_at),
            Err(error) => Err(error),
        };
        let sent = match turn {
            Ok(turn) => exchange(&door, turn, &mut token, &mut socket).await,
            Err(error) => {
                send(
                    &mut socket,
                    &Outgoing::Error {
                        turn_id: "",
                        error: error_of(&error),
                    },
                )
                .await
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// One rating. `Err` when the socket has gone.
async fn rate(
    door: &Door,
    rating: Result<CustomerRating, ApiError>,
    socket: &mut WebSocket,
) -> Result<(), axum::Error> {
    let rated = match rating {
        Ok(rating) => door.relay.rate(rating).await,
        Err(error) => Err(error),
    };
    let outgoing = match rated {
        Ok(()) => Outgoing::Rated,
        Err(error) => Outgoing::RatingRefused {
            error: error_of(&error),
        },
    };
    send(socket, &outgoing).await
}

/// One turn, with notices of its place while it waits. `Err` when the socket has gone.
async fn exchange(
    door: &Door,
    mut turn: CustomerTurn,
    token: &mut Option<ResumeToken>,
    socket: &mut WebSocket,
) -> Result<(), axum::Error> {
    turn.token = crate::resume::newer(token.take(), turn.token.take());
    let turn_id = turn.turn.clone();
    loop {
        let mut exchange = door.relay.take(turn.clone());
        let outcome = loop {
            tokio::select! {
                outcome = &mut exchange.outcome => break outcome.unwrap_or_else(|_| Err(gone())),
                Ok(()) = exchange.place.changed() => {
                    let place = *exchange.place.borrow_and_update();
                    send(socket, &Outgoing::Waiting(place.into())).await?;
                }
            }
        };
        match outcome {
            Ok(Relayed::Waiting(place)) => send(socket, &Outgoing::Waiting(place.into())).await?,
            Ok(Relayed::Replied(witnessed)) => {
                let body = ReplyBody::new(
                    turn.conversation.to_string(),
                    witnessed.reply.clone(),
                    &witnessed.token,
                );
                send(socket, &Outgoing::Reply(body)).await?;
                *token = Some(witnessed.delivered().1);
                return Ok(());
            }
            Err(error) => {
                token.clone_from(&turn.token);
                return send(
                    socket,
                    &Outgoing::Error {
                        turn_id: turn_id.as_str(),
                        error: error_of(&error),
                    },
                )
                .await;
            }
        }
    }
}

fn error_of(error: &ApiError) -> serde_json::Value {
    error
        .http_body()
        .get_mut("error")
        .map(serde_json::Value::take)
        .unwrap_or_default()
}

async fn send(socket: &mut WebSocket, outgoing: &Outgoing<'_>) -> Result<(), axum::Error> {
    let text = serde_json::to_string(outgoing).map_err(axum::Error::new)?;
    socket.send(Message::Text(text.into())).await
}
