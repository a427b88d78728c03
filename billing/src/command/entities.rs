//! `entities`: who issues bills, and for whom.

use anyhow::{bail, ensure};
use clap::{Args, Subcommand};

use super::actor::ActorArgs;
use super::export::Lines;
use super::select::TenantArgs;
use crate::store::{LegalEntity, SetEntity, Store};

/// Longest text of an entity, in characters.
const MAX_TEXT: usize = 200;
const MAX_NAME: usize = 40;
const MAX_PREFIX: usize = 10;

#[derive(Subcommand, Debug)]
pub(super) enum EntitiesCommand {
    /// List them as JSON lines
    List,
    /// Make one, or change what its bills say from now on
    Set(SetArgs),
    /// Give a tenant's account to one: its bills from the next one on are issued by that
    Assign(AssignArgs),
}

#[derive(Args, Debug)]
pub(super) struct SetArgs {
    /// To name it by, in lower case; accounts that were given to none belong to `springtide`
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What the numbers of its bills begin with, as SPT; it stays once a bill has it
    #[arg(long, value_name = "LETTERS")]
    prefix: String,
    /// Its name by law
    #[arg(long, value_name = "TEXT")]
    legal_name: String,
    /// Its tax number
    #[arg(long, default_value = "", value_name = "NUMBER")]
    tax_id: String,
    /// Its address, in one line
    #[arg(long, default_value = "", value_name = "TEXT")]
    address: String,
    #[command(flatten)]
    actor: ActorArgs,
}

#[derive(Args, Debug)]
pub(super) struct AssignArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    /// Which entity, by its name
    #[arg(long, value_name = "NAME")]
    entity: String,
    #[command(flatten)]
    actor: ActorArgs,
}

impl EntitiesCommand {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        match self {
            Self::List => {
                let mut out = Lines::new();
                for entity in store.entities().await? {
                    if !out.write(&entity)? {
                        return Ok(());
                    }
                }
                out.finish()
            }
            Self::Set(args) => args.run(store).await,
            Self::Assign(args) => args.run(store).await,
        }
    }
}

impl SetArgs {
    async fn run(self, store: &Store) -> anyhow::Result<()> {
        let Self {
            name,
            prefix,
            legal_name,
            tax_id,
            address,
            actor,
        } = self;
        let of = |text: &str, longest: usize, fits: fn(&u8) -> bool| {
            (1..=longest).contains(&text.len()) && text.as_bytes().iter().all(fits)
        };
        ensure!(
            of(&name, MAX_NAME, |byte| byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || *byte == b'-'),
            "--name must be 1 to {MAX_NAME} of a to z, 0 to 9 and -"
        );
        ensure!(
            of(&prefix, MAX_PREFIX, |byte| byte.is_ascii_uppercase()
                || byte.is_ascii_digit()),
            "--prefix must be 1 to {MAX_PREFIX} of A to Z and 0 to 9"
        );
        ensure!(!legal_name.trim().is_empty(), "--legal-name must not be empty");
        for (argument, text) in [
            ("--legal-name", &legal_name),
            ("--tax-id", &tax_id),
            ("--address", &address),
        ] {
            let fits = text.chars().count() <= MAX_TEXT && !text.chars().any(char::is_control);
            ensure!(fits, "{argument} must be at most {MAX_TEXT} printable characters");
        }
        let entity = LegalEntity {
            name,
            prefix,
            legal_name,
            tax_id,
            address,
        };
        match store.set_entity(&entity).await? {
            SetEntity::Done => actor.note_for_all(store, "set legal entity", &entity.name).await,
            SetEntity::PrefixTaken { by } => bail!("the prefix {} is that of {by}", entity.prefix),
            SetEntity::PrefixUsed { prefix } => {
                bail!(
                    "bills of {} were issued with the prefix {prefix}, which stays",
                    entity.name
                )
            }
        }
    }
}

impl AssignArgs {
    async fn run(self, store: &Store) -> anyhow::Result<()> {
        let account = self.tenant.account(store).await?;
        let is_assigned = store.assign_entity(account.ledger, &self.entity).await?;
        ensure!(
            is_assigned,
            "there is no legal entity {:?}; `entities set` makes one",
            self.entity
        );
        self.actor
            .note(store, &account, "assign legal entity", &self.entity)
            .await
    }
}
