//! What the files say, taken by a store as the product takes it: the account, its plans, usage, minutes and exclusions.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use springtide_proto::ids::{BootId, PodName, PoolId};
use springtide_runtime::identity::TenantRole;
use tempfile::TempDir;

use super::NAME;
use super::files::UsageRow;
use crate::bill::plans::PlansInPeriod;
use crate::metering::decide::LedgerId;
use crate::metering::examine::{Reporter, examine};
use crate::metering::report::{Party, Verdict};
use crate::rating::rate::{Exclusion, MinuteCounts};
use crate::service_level::hour::Counts;
use crate::service_level::report::{MinutesReport, ReportedMinute};
use crate::store::{Account, AccountDetails, ExclusionOutcome, NewExclusion, PutPlan, Registration, Store};

/// Rows of a batch, as many as a report may have.
const BATCH: usize = 10_000;
const HOUR: i64 = 3_600;
const MINUTE: i64 = 60;

/// A store that is gone when this is.
pub(super) struct Scratch {
    pub(super) store: Store,
    _folder: TempDir,
}

impl Scratch {
    pub(super) async fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("there is no folder for temporary files; set TMPDIR")?;
        let store = Store::scratch(&folder.path().join("rate.db")).await?;
        Ok(Self {
            store,
            _folder: folder,
        })
    }

    /// An account with these plans.
    pub(super) async fn take_on(
        &self,
        details: &AccountDetails,
        plans: &PlansInPeriod,
        (registered, closed): (Timestamp, Option<Timestamp>),
    ) -> anyhow::Result<Account> {
        for part in plans.parts() {
            let put = self.store.put_plan(&part.known.version, registered).await?;
            ensure!(put == PutPlan::Stored, "the plan was not taken: {put:?}");
        }
        let made = self.store.register(details, registered).await?;
        ensure!(matches!(made, Registration::Done), "the account was not made");
        let uid = details.party.tenant_uid.as_str();
        if let Some(closed) = closed {
            self.store.close_account(uid, closed).await?;
        }
        let account = self.store.account_of_uid(uid).await?;
        account.context("the account that was just made is not there")
    }

    /// All rows, or which may not be taken.
    pub(super) async fn take_usage(
        &self,
        rows: &[UsageRow],
        party: &Party,
        path: &Path,
    ) -> anyhow::Result<()> {
        let peer = Reporter {
            tenant: party.tenant.clone(),
            role: Some(TenantRole::Worker),
        };
        // The clock is the usage's own: a future month can be rated too.
        let now = rows.iter().map(|row| row.time).max().unwrap_or_default();
        for rows in rows.chunks(BATCH) {
            let examined: Vec<_> = rows
                .iter()
                .map(|row| examine(row.record(party), &peer, now))
                .collect();
            for (row, verdict) in rows.iter().zip(self.store.ingest(&examined, now).await?) {
                let refusal = match verdict {
                    Verdict::Accepted => continue,
                    Verdict::Rejected(_, message) => message,
                    other => format!("{other:?}"),
                };
                bail!("{}, line {}: {refusal}", path.display(), row.line);
            }
        }
        Ok(())
    }

    /// As one gateway would report them, and the operator's probe those in which customers could not come in.
    pub(super) async fn take_minutes(
        &self,
        minutes: &[(Timestamp, MinuteCounts)],
        party: &Party,
    ) -> anyhow::Result<()> {
        let (pool, boot_id) = (PoolId::parse(NAME)?, BootId::parse(NAME)?);
        let reported = |at: Timestamp, counts: Counts| {
            let second = at.as_second();
            Ok(ReportedMinute {
                pool: pool.clone(),
                boot_id: boot_id.clone(),
                hour: second - second.rem_euclid(HOUR),
                minute: usize::try_from(second.rem_euclid(HOUR) / MINUTE).unwrap_or_default(),
                counts,
            })
        };
        let by_gateway = minutes.iter().map(|(at, counts)| {
            // What the probe reports is one of the bad ones.
            let bad = counts.bad.saturating_sub(counts.unreachable.into());
            let MinuteCounts { good, fast, slow, .. } = *counts;
            reported(
                *at,
                Counts {
                    good,
                    bad,
                    fast,
                    slow,
                },
            )
        });
        let failed = Counts {
            bad: 1,
            ..Counts::default()
        };
        let by_probe = minutes.iter().filter(|(_, counts)| counts.unreachable);
        let by_probe = by_probe.map(|(at, _)| reported(*at, failed));
        for (is_probe, minutes) in [
            (false, by_gateway.collect::<Vec<_>>()),
            (true, by_probe.collect()),
        ] {
            if minutes.is_empty() {
                continue;
            }
            let report = MinutesReport {
                party: party.clone(),
                reporter: PodName::parse(NAME)?,
                is_probe,
                minutes,
            };
            let taken = self.store.take_minutes(&report).await?;
            taken.context("the minutes were not taken")?;
        }
        Ok(())
    }

    pub(super) async fn exclude(
        &self,
        ledger: LedgerId,
        exclusions: Vec<Exclusion>,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        for exclusion in exclusions {
            let Exclusion {
                from,
                to,
                reason,
                approver,
            } = exclusion;
            let new = NewExclusion {
                from,
                to,
                reason,
                approver,
            };
            let done = self.store.exclude(ledger, &new, now).await?;
            ensure!(
                matches!(done, ExclusionOutcome::Done(_)),
                "an exclusion was not taken"
            );
        }
        Ok(())
    }
}
