//! `staff`: who of the provider's own people may sign in at the back office.

use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use jiff::SignedDuration;
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::actor::{ActorArgs, name_of};
use super::bills::print;
use super::export::Lines;
use crate::digest::Digest;
use crate::store::{StaffRole, StaffToken, Store};
use crate::web::{Secrets as _, SystemSecrets};

/// How a token begins, so that people and scanners know one.
const PREFIX: &str = "spst_";
/// Characters of a token's id: the beginning of its digest, which is no secret and as good as random.
const ID: usize = 12;

#[derive(Subcommand, Debug)]
pub(super) enum StaffCommand {
    /// Make a token for one person, and write it to standard output: it is shown this once
    Add(AddArgs),
    /// List tokens as JSON lines, the newest first
    List,
    /// Take a token away; its sessions end with it
    Revoke(RevokeArgs),
}

#[derive(Args, Debug)]
pub(super) struct AddArgs {
    /// Whose it is: audits and bills name this person
    #[arg(long, value_name = "NAME", value_parser = name_of)]
    name: String,
    /// What it allows
    #[arg(long, default_value = "reader")]
    role: StaffRole,
    /// Days until it opens nothing any more
    #[arg(long, default_value_t = 90, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=730))]
    days: u16,
    #[command(flatten)]
    actor: ActorArgs,
}

#[derive(Args, Debug)]
pub(super) struct RevokeArgs {
    /// The token's id, as `list` shows it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    actor: ActorArgs,
}

impl StaffCommand {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        match self {
            Self::Add(args) => args.run(store).await,
            Self::List => {
                let mut out = Lines::new();
                for token in store.staff_tokens().await? {
                    if !out.write(&token)? {
                        return Ok(());
                    }
                }
                out.finish()
            }
            Self::Revoke(args) => args.run(store).await,
        }
    }
}

impl AddArgs {
    async fn run(self, store: &Store) -> anyhow::Result<()> {
        let Self {
            name,
            role,
            days,
            actor,
        } = self;
        let secret = SystemSecrets::default().next()?;
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
        let digest = Digest::of(secret.as_bytes());
        let now = SystemClock.now();
        let object = format!("{name} ({})", role.name());
        let token = StaffToken {
            id: digest.to_string().chars().take(ID).collect(),
            name,
            role,
            created_by: actor.name(),
            created_at: now,
            expires_at: now.checked_add(SignedDuration::from_hours(24 * i64::from(days)))?,
            revoked_at: None,
        };
        store.create_staff_token(&token, digest).await?;
        actor.note_for_all(store, "add staff", &object).await?;
        print(&format!("{secret}\n"))
    }
}

impl RevokeArgs {
    async fn run(self, store: &Store) -> anyhow::Result<()> {
        let done = store.revoke_staff_token(&self.id, SystemClock.now()).await?;
        ensure!(done, "there is no token {:?} that is not revoked yet", self.id);
        self.actor.note_for_all(store, "revoke staff", &self.id).await
    }
}
