//! Billing's own store, of what is reported to it: an account of the tenant with a plan, since forty days.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use springtide_billing::digest::Digest;
use springtide_billing::locale::Locale;
use springtide_billing::metering::examine::{Reporter, examine};
use springtide_billing::metering::report::{Party, Verdict};
use springtide_billing::metering::retention::KeptDays;
use springtide_billing::store::{Account, AccountDetails, PlanVersion, Store};
use springtide_proto::metering::{Record, Witness};
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_runtime::identity::TenantRole;

use super::Tenant;

/// So long the account is there.
const SINCE: SignedDuration = SignedDuration::from_hours(24 * 40);
/// Records that share a batch.
const BATCH: usize = 3;

/// See the module.
pub struct Books {
    /// Where usage goes.
    pub store: Store,
    party: Party,
    reported: Arc<Mutex<Vec<Record>>>,
    _folder: tempfile::TempDir,
}

impl Books {
    /// Of a tenant whose plan says that, in JSON. What starts from now on reports to them.
    pub async fn of(tenant: &mut Tenant, plan: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}/billing.db", folder.path().display());
        let store = Store::connect(&url, true).await?;
        store.migrate().await?;
        let version = PlanVersion {
            name: "plan".into(),
            uid: "plan".into(),
            generation: 1,
            digest: Digest::of(plan.as_bytes()),
            spec: plan.into(),
        };
        let since = SystemClock.now().checked_sub(SINCE)?;
        store.put_plan(&version, since).await?;
        let party = Party {
            tenant_uid: tenant.uid.clone(),
            tenant: tenant.id.clone(),
        };
        let details = AccountDetails {
            party: party.clone(),
            display_name: "安可商城".into(),
            time_zone: "Asia/Shanghai".into(),
            rate_plan: version.name,
            legal_name: String::new(),
            tax_id: String::new(),
            billing_email: String::new(),
            payment_days: 30,
            portal_token: Digest::of(b"token"),
            usage_kept: KeptDays::default(),
            locale: Locale::ZhCn,
        };
        store.register(&details, since).await?;
        let reported = Arc::new(Mutex::new(Vec::new()));
        let heard = reported.clone();
        tenant
            .report_to(Arc::new(move |records: Vec<Record>| heard.lock().extend(records)))
            .await?;
        Ok(Self {
            store,
            party,
            reported,
            _folder: folder,
        })
    }

    /// The tenant's account.
    pub async fn account(&self) -> anyhow::Result<Account> {
        let uid = self.party.tenant_uid.as_str();
        self.store
            .account_of_uid(uid)
            .await?
            .context("there is no account")
    }

    /// What was reported and not taken yet.
    pub fn reported(&self) -> Vec<Record> {
        self.reported.lock().clone()
    }

    /// Takes it, each record twice.
    pub async fn take(&self, now: Timestamp) -> anyhow::Result<()> {
        let records = std::mem::take(&mut *self.reported.lock());
        let examined: Vec<_> = records
            .iter()
            .chain(&records)
            .map(|record| {
                let role = if record.witness() == Witness::Worker {
                    TenantRole::Worker
                } else {
                    TenantRole::Gateway
                };
                let peer = Reporter {
                    tenant: self.party.tenant.clone(),
                    role: Some(role),
                };
                examine(record.clone(), &peer, now)
            })
            .collect();
        for examined in examined.chunks(BATCH) {
            let verdicts = self.store.ingest(examined, now).await?;
            let is_taken = |verdict: &Verdict| !matches!(verdict, Verdict::Conflict | Verdict::Rejected(..));
            ensure!(verdicts.iter().all(is_taken), "not taken: {verdicts:?}");
        }
        Ok(())
    }
}
