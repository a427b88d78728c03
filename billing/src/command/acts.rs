//! `invoice pay`, `dispute`, `resolve`, `credit`, `fapiao` and `history`: what becomes of an issued bill.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::bills::{plain, print, text_of};
use crate::bill::issue::Issuer;
use crate::bill::notes::{act, credit_invoice};
use crate::bill::state::{Act, TaxState};
use crate::store::{Account, Store, StoredInvoice, TaxRegistration};

#[derive(Subcommand, Debug)]
pub(super) enum InvoiceAct {
    /// Note that a bill was paid in full (a note below zero: repaid), and post it to the journal
    Pay(ActArgs),
    /// Note that the client disputes a bill
    Dispute(ActArgs),
    /// End a dispute: the bill was right, and is again what it was before
    Resolve(ActArgs),
    /// Take back a whole bill, with the notes on it, by a credit note
    Credit(ActArgs),
    /// Note what the tax office knows of a bill: its own number, and that of a red letter
    Fapiao(FapiaoArgs),
    /// Write a bill's states and what the tax office knows of it, as JSON lines
    History(NumberArgs),
}

#[derive(Args, Debug)]
pub(super) struct NumberArgs {
    /// Number of the bill, as SPT-2026-000001
    number: String,
}

#[derive(Args, Debug)]
pub(super) struct ActArgs {
    #[command(flatten)]
    number: NumberArgs,
    /// Who does it
    #[arg(long, value_name = "NAME")]
    actor: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Args, Debug)]
pub(super) struct FapiaoArgs {
    #[command(flatten)]
    number: NumberArgs,
    /// How far it is
    #[arg(long)]
    state: TaxState,
    /// The tax office's number of the bill
    #[arg(
        long,
        default_value = "",
        value_name = "NUMBER",
        required_if_eq("state", "registered")
    )]
    tax_number: String,
    /// The tax office's number of the red letter
    #[arg(
        long,
        default_value = "",
        value_name = "NUMBER",
        required_if_eq("state", "reversed")
    )]
    red_letter: String,
    /// Who does it
    #[arg(long, value_name = "NAME")]
    actor: String,
    /// In words
    #[arg(long, default_value = "", value_name = "TEXT")]
    note: String,
}

impl NumberArgs {
    async fn invoice(&self, store: &Store) -> anyhow::Result<StoredInvoice> {
        let invoice = store.any_invoice(&self.number).await?;
        invoice.with_context(|| format!("there is no invoice {}", self.number))
    }
}

impl InvoiceAct {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        match self {
            Self::Pay(args) => args.act(store, Act::Pay).await,
            Self::Dispute(args) => args.act(store, Act::Dispute).await,
            Self::Resolve(args) => args.act(store, Act::Resolve).await,
            Self::Credit(args) => args.credit(store).await,
            Self::Fapiao(args) => args.run(store).await,
            Self::History(args) => args.history(store).await,
        }
    }
}

impl ActArgs {
    async fn act(self, store: &Store, what: Act) -> anyhow::Result<()> {
        let invoice = self.number.invoice(store).await?;
        let state = act(
            store,
            &invoice,
            what,
            &self.actor,
            &self.reason,
            SystemClock.now(),
        )
        .await
        .map_err(|error| plain(&error))?;
        print(&format!("{} is {}\n", invoice.number, state.name()))
    }

    async fn credit(self, store: &Store) -> anyhow::Result<()> {
        let invoice = self.number.invoice(store).await?;
        let account: Account = store
            .account_of_ledger(invoice.ledger)
            .await?
            .context("the bill's account is gone")?;
        let issuer = Issuer {
            actor: &self.actor,
            note: &self.reason,
            now: SystemClock.now(),
        };
        let note = credit_invoice(store, &account, &invoice, issuer)
            .await
            .map_err(|error| plain(&error))?;
        print(&text_of(&note))
    }
}

impl FapiaoArgs {
    async fn run(self, store: &Store) -> anyhow::Result<()> {
        let invoice = self.number.invoice(store).await?;
        let registration = TaxRegistration {
            state: self.state,
            tax_number: self.tax_number,
            red_letter_number: self.red_letter,
            actor: self.actor,
            note: self.note,
            at: SystemClock.now(),
        };
        if !store.register_tax(&invoice.number, &registration).await? {
            let known = store.tax_registrations(&invoice.number).await?;
            let state = known
                .last()
                .map_or("not known to the tax office", |last| last.state.name());
            bail!(
                "{} is {state}, after which it cannot be {}",
                invoice.number,
                self.state.name()
            );
        }
        print(&format!("{} is {}\n", invoice.number, self.state.name()))
    }
}

impl NumberArgs {
    async fn history(self, store: &Store) -> anyhow::Result<()> {
        let invoice = self.invoice(store).await?;
        let states = store.states(&invoice.number).await?;
        let tax = store.tax_registrations(&invoice.number).await?;
        let lines = states
            .iter()
            .map(|record| json!({"number": invoice.number, "invoice": record}))
            .chain(
                tax.iter()
                    .map(|record| json!({"number": invoice.number, "tax": record})),
            );
        lines.into_iter().try_for_each(|line| print(&format!("{line}\n")))
    }
}
