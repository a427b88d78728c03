//! `erase`: takes out what identifies a customer.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;
use springtide_proto::ids::ConversationId;
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::export::Lines;
use super::select::TenantArgs;
use crate::metering::erase::{Conversations, MAX_CONVERSATIONS};
use crate::store::{Eraser, Holder, Role, Store};

#[derive(Args, Debug)]
pub(super) struct EraseArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    /// A conversation that the customer had; may be given again
    #[arg(long = "conversation", value_name = "ID", required = true)]
    conversations: Vec<ConversationId>,
    /// Who does it
    #[arg(long, value_name = "NAME")]
    actor: String,
    /// Erase; without it, only say what there is to erase
    #[arg(long)]
    confirm: bool,
}

impl EraseArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let Self {
            tenant,
            conversations,
            actor,
            confirm,
        } = self;
        ensure!(
            conversations.len() <= MAX_CONVERSATIONS,
            "at most {MAX_CONVERSATIONS} conversations at a time"
        );
        let account = tenant.account(store).await?;
        let conversations: BTreeSet<_> = conversations.into_iter().collect();
        let conversations = Conversations::new(conversations).context("--conversation is missing")?;
        let holder = Holder {
            name: format!("operator: {actor}"),
            token: String::new(),
            provider: String::new(),
            role: Role::Admin,
        };
        let eraser = Eraser {
            holder: &holder,
            now: SystemClock.now(),
        };
        let party = &account.details.party;
        let erased = store
            .erase(account.ledger, party, &conversations, confirm.then_some(eraser))
            .await?;
        let mut out = Lines::new();
        out.write(&json!({"erased": confirm, "found": erased}))?;
        out.finish()
    }
}
