//! Erasing a customer, for a client firm's administrators: first what there is, then, asked again, it is done.

use std::collections::BTreeSet;

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use springtide_proto::ids::ConversationId;

use super::WebState;
use super::pages::Tab;
use super::pages::erase::{ErasePage, erase_page};
use super::visit::{Page, Visit};
use crate::metering::erase::{Conversations, MAX_CONVERSATIONS};
use crate::store::{Eraser, Role};

const PLACE: (&str, Tab) = ("/portal/access", Tab::Access);

/// The form of [`erase`].
#[derive(Deserialize)]
pub struct EraseForm {
    conversations: String,
    #[serde(default)]
    confirm: String,
}

/// Says what there is of a customer's conversations, or erases it.
pub async fn erase(State(state): State<WebState>, headers: HeaderMap, Form(form): Form<EraseForm>) -> Page {
    let visit = Visit::begin_change(&state, &headers, PLACE, Role::Admin).await?;
    let EraseForm {
        conversations: text,
        confirm,
    } = form;
    let Some(conversations) = conversations_of(&text) else {
        let page = ErasePage {
            text,
            found: None,
            is_done: false,
        };
        return Ok(visit.page_with(StatusCode::BAD_REQUEST, erase_page(&visit.view, &page)));
    };
    let caller = &visit.caller;
    let eraser = Eraser {
        holder: &caller.holder,
        now: state.clock.now(),
    };
    let is_done = confirm == "yes";
    let party = &caller.account.details.party;
    let found = caller
        .store
        .erase(
            caller.account.ledger,
            party,
            &conversations,
            is_done.then_some(eraser),
        )
        .await
        .map_err(|error| visit.failed(error))?;
    let page = ErasePage {
        text,
        found: Some(found),
        is_done,
    };
    Ok(visit.page(erase_page(&visit.view, &page)))
}

fn conversations_of(text: &str) -> Option<Conversations> {
    let words = text
        .split([' ', ',', '\t', '\r', '\n'])
        .filter(|word| !word.is_empty());
    let ids: BTreeSet<ConversationId> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
    (ids.len() <= MAX_CONVERSATIONS)
        .then_some(ids)
        .and_then(Conversations::new)
}
