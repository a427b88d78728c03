//! `replay` offers rejected records again.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use springtide_runtime::clock::{Clock as _, SystemClock};

use super::actor::ActorArgs;
use super::export::Lines;
use crate::metering::examine::examine_again;
use crate::metering::report::{Verdict, answer_of};
use crate::store::Store;

/// Records of a page.
const PAGE: u32 = 500;

#[derive(Args, Debug)]
pub(super) struct ReplayArgs {
    /// Name of the tenant whose parts sent it; all tenants if left out
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Why it was rejected, as EVENT_REJECTED
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Say what would become of each record, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    actor: ActorArgs,
}

impl ReplayArgs {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let mut out = Lines::new();
        let (tenant, reason) = (self.tenant.as_deref(), self.reason.as_deref());
        if !self.dry_run {
            let object = reason.unwrap_or("all reasons");
            self.actor
                .note_of_name(store, tenant, ("replay rejected records", object))
                .await?;
        }
        let mut last = None;
        loop {
            let page = store.rejected(tenant, reason, last.as_ref(), PAGE).await?;
            if page.is_empty() {
                return out.finish();
            }
            for (record, verdict) in replay(store, &page, SystemClock.now(), self.dry_run).await? {
                let (reason, message) = answer_of(&verdict).unwrap_or_default();
                let line = json!({
                    "tenant": record.peer, "was": record.message, "status": verdict.name(), "reason": reason, "message": message,
                });
                if !out.write(&line)? {
                    return Ok(());
                }
            }
            last = page.into_iter().next_back();
        }
    }
}

/// Offers a page of rejected records again. What is rejected again is not counted once more.
pub(crate) async fn replay<'a>(
    store: &Store,
    page: &'a [crate::store::Rejected],
    now: Timestamp,
    is_dry_run: bool,
) -> anyhow::Result<Vec<(&'a crate::store::Rejected, Verdict)>> {
    let examined: Vec<_> = page
        .iter()
        .map(|rejected| examine_again(&rejected.peer, &rejected.record, now))
        .collect();
    let said = store.rehearse(&examined, now).await?;
    if is_dry_run {
        return Ok(page.iter().zip(said).collect());
    }
    let mut outcome = Vec::with_capacity(page.len());
    let (mut offered, mut takable) = (Vec::new(), Vec::new());
    for ((record, examined), verdict) in page.iter().zip(examined).zip(said) {
        if matches!(verdict, Verdict::Rejected(..)) {
            outcome.push((record, verdict));
        } else {
            offered.push(record);
            takable.push(examined);
        }
    }
    if offered.is_empty() {
        return Ok(outcome);
    }
    let verdicts = store.ingest(&takable, now).await?;
    let taken: Vec<_> = offered
        .iter()
        .zip(&verdicts)
        .filter(|(_, verdict)| !matches!(verdict, Verdict::Rejected(..) | Verdict::Conflict))
        .map(|(record, _)| *record)
        .collect();
    store.mark_taken(&taken, now).await?;
    outcome.extend(offered.into_iter().zip(verdicts));
    Ok(outcome)
}
