//! `invoice` and `invoices`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::acts::InvoiceAct;
use super::close::GraceArgs;
use super::select::TenantArgs;
use crate::bill::close::is_due;
use crate::bill::document::{Document, DocumentLine, State};
use crate::bill::schedule::schedule_of;
use crate::bill::state::TaxStanding;
use crate::bill::words::document_title;
use crate::bill::{BillError, bill, issue};
use crate::locale::Locale;
use crate::pdf::invoice_pdf;
use crate::rating::period::Period;
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

/// Form of what is of several bills, or of none.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ReportFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct InvoiceArgs {
    #[command(subcommand)]
    act: Option<InvoiceAct>,
    #[command(flatten)]
    tenant: TenantArgs,
    /// Month, as 2026-11
    #[arg(long, value_name = "YYYY-MM", required = true)]
    period: Option<Period>,
    /// Issue it if it is not issued yet: it gets its number and never changes again
    #[arg(long)]
    issue: bool,
    #[command(flatten)]
    grace: GraceArgs,
    /// Form of the output
    #[arg(long, default_value = "text")]
    format: BillFormat,
    /// Language of a PDF [default: the bill's]
    #[arg(long, value_name = "TAG")]
    locale: Option<String>,
    /// File to write to, instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct InvoicesArgs {
    /// Month, as 2026-11
    #[arg(long, value_name = "YYYY-MM")]
    period: Period,
    /// Form of the output
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

impl InvoiceArgs {
    pub(super) async fn run(mut self, store: &Store) -> anyhow::Result<()> {
        if let Some(act) = self.act.take() {
            return act.run(store).await;
        }
        let period = self.period.context("say --period")?;
        let account = self.tenant.account(store).await?;
        let document = self
            .bill(store, &account, period, SystemClock.now())
            .await
            .map_err(|error| plain(&error))?;
        let bytes = match self.format {
            BillFormat::Json => format!("{:#}\n", document.to_json()).into_bytes(),
            BillFormat::Text => text_of(&document).into_bytes(),
            BillFormat::Pdf => {
                let locale = Locale::nearest(self.locale.as_ref().unwrap_or(&document.locale));
                let tax = match &document.number {
                    Some(number) => TaxStanding::of(&store.tax_registrations(number).await?),
                    None => None,
                };
                invoice_pdf(&document, tax.as_ref(), locale)?
            }
        };
        match &self.output {
            Some(path) => {
                std::fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
            }
            None => write(&bytes),
        }
    }

    async fn bill(
        &self,
        store: &Store,
        account: &Account,
        period: Period,
        now: Timestamp,
    ) -> Result<Document, BillError> {
        let issued = store
            .invoice_of_period(account.ledger, &period.to_string())
            .await?;
        if issued.is_some() || !self.issue {
            return bill(store, account, period, now).await;
        }
        let bounds = schedule_of(store, account).await?.bounds(period)?;
        self.grace.grace().check(period, &bounds, now)?;
        Ok(issue(store, account, period, now).await?.0)
    }
}

impl InvoicesArgs {
    /// One account that has no bill holds up no other; the command fails at its end.
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let mut documents = Vec::new();
        let mut failed = Vec::new();
        for account in store.accounts().await? {
            let tenant = account.details.party.tenant.to_string();
            match self.due_bill_of(store, &account, now).await {
                Ok(document) => documents.extend(document),
                Err(error) => failed.push(format!("{tenant}: {:#}", plain(&error))),
            }
        }
        match self.format {
            ReportFormat::Json => {
                let list: Vec<_> = documents.iter().map(Document::to_json).collect();
                print(&format!("{:#}\n", serde_json::Value::from(list)))?;
            }
            ReportFormat::Text => {
                print(&documents.iter().map(text_of).collect::<Vec<_>>().join("\n"))?;
            }
        }
        if failed.is_empty() {
            Ok(())
        } else {
            bail!("no bill for {}", failed.join("; "))
        }
    }

    /// `None` if the account has nothing to do with the period.
    async fn due_bill_of(
        &self,
        store: &Store,
        account: &Account,
        now: Timestamp,
    ) -> Result<Option<Document>, BillError> {
        let bounds = schedule_of(store, account).await?.bounds(self.period)?;
        if is_due(store, account, &bounds).await? {
            return bill(store, account, self.period, now).await.map(Some);
        }
        Ok(None)
    }
}

/// Keeps the causes, in one line.
pub(super) fn plain(error: &BillError) -> anyhow::Error {
    anyhow::anyhow!(with_causes(error))
}

pub(super) fn text_of(document: &Document) -> String {
    let state = match (&document.number, document.state) {
        (Some(number), State::Issued) => {
            let kind = document_title(document, Locale::En);
            let on = document.corrects.iter().map(|corrects| format!(" on {corrects}"));
            format!("{kind} {number}{}", on.collect::<String>())
        }
        _ => "Draft".to_owned(),
    };
    let mut text = format!(
        "{state}: {} ({}), {}, {}\n",
        document.legal_name, document.tenant, document.period, document.time_zone
    );
    let currency = &document.currency;
    for DocumentLine {
        line, explanation, ..
    } in &document.lines
    {
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
