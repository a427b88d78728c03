//! `invoice` and `invoices`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::select::TenantArgs;
use crate::bill::document::{Document, DocumentLine, State};
use crate::bill::{bill, issue, zone_of};
use crate::locale::Locale;
use crate::pdf::invoice_pdf;
use crate::rating::period::{Bounds, Period};
use crate::store::{Account, Store, with_causes};

/// Form of a bill.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum BillFormat {
    /// For people.
    Text,
    /// The whole document.
    Json,
    /// On paper; with --output, or to where standard output goes.
    Pdf,
}

#[derive(Args, Debug)]
pub(super) struct InvoiceArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    #[command(flatten)]
    what: WhatArgs,
    /// Language of a PDF [default: the bill's]
    #[arg(long, value_name = "TAG")]
    locale: Option<String>,
    /// File to write to, instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct InvoicesArgs {
    #[command(flatten)]
    what: WhatArgs,
}

#[derive(Args, Debug)]
struct WhatArgs {
    /// Month, as 2026-11
    #[arg(long, value_name = "YYYY-MM")]
    period: Period,
    /// Issue it if it is not issued yet: it gets its number and never changes again
    #[arg(long)]
    issue: bool,
    /// Form of the output
    #[arg(long, default_value = "text")]
    format: BillFormat,
}

impl InvoiceArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let account = self.tenant.account(store).await?;
        let document = self.what.bill_of(store, &account, SystemClock.now()).await?;
        let bytes = match self.what.format {
            BillFormat::Json => format!("{:#}\n", document.to_json()).into_bytes(),
            BillFormat::Text => text_of(&document).into_bytes(),
            BillFormat::Pdf => {
                let locale = Locale::nearest(self.locale.as_ref().unwrap_or(&document.locale));
                invoice_pdf(&document, locale)?
            }
        };
        match &self.output {
            Some(path) => {
                std::fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
            }
            None => write(&bytes),
        }
    }
}

impl InvoicesArgs {
    /// One account that has no bill holds up no other; the command fails at its end.
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        if matches!(self.what.format, BillFormat::Pdf) {
            bail!("a PDF is of one tenant: take `invoice --tenant NAME --format pdf`");
        }
        let now = SystemClock.now();
        let mut documents = Vec::new();
        let mut failed = Vec::new();
        for account in store.accounts().await? {
            let tenant = account.details.party.tenant.to_string();
            match self.what.due_bill_of(store, &account, now).await {
                Ok(document) => documents.extend(document),
                Err(error) => failed.push(format!("{tenant}: {error:#}")),
            }
        }
        match self.what.format {
            BillFormat::Json => {
                let list: Vec<_> = documents.iter().map(Document::to_json).collect();
                print(&format!("{:#}\n", serde_json::Value::from(list)))?;
            }
            BillFormat::Text | BillFormat::Pdf => {
                print(&documents.iter().map(text_of).collect::<Vec<_>>().join("\n"))?;
            }
        }
        if failed.is_empty() {
            Ok(())
        } else {
            bail!("no bill for {}", failed.join("; "))
        }
    }
}

impl WhatArgs {
    async fn bill_of(&self, store: &Store, account: &Account, now: Timestamp) -> anyhow::Result<Document> {
        let tenant = &account.details.party.tenant;
        if !self.issue {
            return bill(store, account, self.period, now)
                .await
                .map_err(|error| plain(&error));
        }
        let (document, is_new) = issue(store, account, self.period, now)
            .await
            .map_err(|error| plain(&error))?;
        if is_new && now < document.period_end {
            let end = document.period_end;
            tracing::warn!(%tenant, period = %self.period, %end, "issued before the period's end: usage that comes from now on waits for a correction");
        }
        Ok(document)
    }

    /// `None` if the account has nothing to do with the period: it was made later or closed before, and has no usage.
    async fn due_bill_of(
        &self,
        store: &Store,
        account: &Account,
        now: Timestamp,
    ) -> anyhow::Result<Option<Document>> {
        let zone = zone_of(store, account).await.map_err(|error| plain(&error))?;
        let bounds = self.period.bounds(&zone)?;
        if is_open_in(account, &bounds) || !store.usage(account.ledger, &bounds).await?.is_empty() {
            return self.bill_of(store, account, now).await.map(Some);
        }
        Ok(None)
    }
}

fn is_open_in(account: &Account, bounds: &Bounds) -> bool {
    account.registered_at < bounds.end && account.closed_at.is_none_or(|closed| closed >= bounds.start)
}

/// Keeps the causes, in one line.
pub(super) fn plain(error: &crate::bill::BillError) -> anyhow::Error {
    anyhow::anyhow!(with_causes(error))
}

pub(super) fn text_of(document: &Document) -> String {
    let state = match (&document.number, document.state) {
        (Some(number), State::Issued) => format!("Invoice {number}"),
        _ => "Draft".to_owned(),
    };
    let mut text = format!(
        "{state}: {} ({}), {}, {}\n",
        document.legal_name, document.tenant, document.period, document.time_zone
    );
    let currency = &document.currency;
    for DocumentLine { line, explanation } in &document.lines {
        let amount = document.amount_for_people(&line.amount);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  {:<24} {amount:>16} {currency}\n    {explanation}",
            line.name
        );
    }
    let total = document.amount_for_people(&document.total);
    let _ = writeln!(text, "  {:<24} {total:>16} {currency}", "Total");
    text
}

pub(super) fn print(text: &str) -> anyhow::Result<()> {
    write(text.as_bytes())
}

/// Writes to standard output. A reader that has seen enough is no error.
pub(super) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}
