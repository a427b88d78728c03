//! Accounts: who is billed, by which plan. One for each UID of a Tenant object.
//!
//! Putting an account with another plan than before records an assignment of it (see [`super::assignments`]).

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::assignments::{INSERT as ASSIGN, OPERATOR};
use super::entities::{LegalEntity, entity_column, entity_of};
use super::ingest::{instant_of, nanosecond_of};
use super::retention::kept_days_of;
use super::{Store, StoreError, in_transaction, on_readers};
use crate::bill::schedule::{first_date_of_change, others_of_month};
use crate::digest::Digest;
use crate::locale::Locale;
use crate::metering::decide::LedgerId;
use crate::metering::report::Party;
use crate::metering::retention::KeptDays;
use crate::rating::currency::Currency;
use crate::rating::period::zone_named;
use crate::rating::plan::RatePlan;

/// What is known of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountDetails {
    /// Tenant UID and name.
    pub party: Party,
    /// For people.
    pub display_name: String,
    /// IANA zone of the tenant; bills go by the plan's.
    pub time_zone: String,
    /// Name of the plan that was assigned last, which may be in force only from tomorrow on.
    pub rate_plan: String,
    /// On the bill.
    pub legal_name: String,
    /// On the bill.
    pub tax_id: String,
    /// Where bills go.
    pub billing_email: String,
    /// Days until payment is due.
    pub payment_days: u32,
    /// Of the portal's access token.
    pub portal_token: Digest,
    /// Language of its bills.
    pub locale: Locale,
    /// How long its single events are kept.
    pub usage_kept: KeptDays,
}

/// An account as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Where its usage gathers.
    pub ledger: LedgerId,
    /// What is known of it.
    pub details: AccountDetails,
    /// When it was first registered.
    pub registered_at: Timestamp,
    /// When its Tenant object went.
    pub closed_at: Option<Timestamp>,
    /// Who issues its bills.
    pub entity: LegalEntity,
}

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Made or updated.
    Done,
    /// The UID belongs to another name.
    OtherName,
    /// The plan has another currency than another plan of the month in which it would begin.
    OtherCurrency {
        /// Of that plan.
        from: Currency,
        /// Of the new one.
        to: Currency,
        /// First date of the new one.
        date: Date,
    },
}

type Row = (
    i64,
    String,
    String,
    String,
    String,
    String,
    String,
    String,
    String,
    i64,
    Vec<u8>,
    String,
    i64,
    Option<i64>,
    String,
    i64,
);

macro_rules! select_account {
    ($rest:literal) => {
        concat!(
            "SELECT ledger_id, tenant_uid, tenant, display_name, time_zone, (SELECT a.plan FROM plan_assignment a \
             WHERE a.ledger_id = account.ledger_id ORDER BY a.ordinal DESC LIMIT 1), legal_name, tax_id, billing_email, \
             payment_days, portal_token_digest, locale, registered_at, closed_at, ",
            entity_column!(),
            ", usage_days FROM account ",
            $rest
        )
    };
}

impl Store {
    /// Makes or updates an account.
    pub async fn register(
        &self,
        details: &AccountDetails,
        now: Timestamp,
    ) -> Result<Registration, StoreError> {
        let (uid, tenant) = (details.party.tenant_uid.as_str(), details.party.tenant.as_str());
        let from = match self.change_of_plan(details, now).await? {
            Ok(from) => from,
            Err(refused) => return Ok(refused),
        };
        let now = nanosecond_of(now)?;
        in_transaction!(self, transaction => {
            let name: Option<(String,)> = sqlx::query_as("SELECT tenant FROM account WHERE tenant_uid = $1")
                .bind(uid).fetch_optional(&mut *transaction).await?;
            if name.is_some_and(|(name,)| name != tenant) {
                return Ok(Registration::OtherName);
            }
            sqlx::query("INSERT INTO ledger (tenant_uid, tenant) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(uid).bind(tenant).execute(&mut *transaction).await?;
            let (ledger,): (i64,) = sqlx::query_as("SELECT id FROM ledger WHERE tenant_uid = $1 AND tenant = $2")
                .bind(uid).bind(tenant).fetch_one(&mut *transaction).await?;
            sqlx::query(UPSERT)
                .bind(ledger)
                .bind(uid)
                .bind(tenant)
                .bind(&details.display_name)
                .bind(&details.time_zone)
                .bind(&details.legal_name)
                .bind(&details.tax_id)
                .bind(&details.billing_email)
                .bind(i64::from(details.payment_days))
                .bind(&details.portal_token.as_bytes()[..])
                .bind(details.locale.tag())
                .bind(now)
                .bind(i64::from(details.usage_kept.get()))
                .execute(&mut *transaction)
                .await?;
            if let Some(from) = from {
                sqlx::query(ASSIGN)
                    .bind(ledger)
                    .bind(&details.rate_plan)
                    .bind(from.to_string())
                    .bind(now)
                    .bind(OPERATOR)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok(Registration::Done)
        })
    }

    /// From which date on a plan counts that is another than the one assigned last.
    async fn change_of_plan(
        &self,
        details: &AccountDetails,
        now: Timestamp,
    ) -> Result<Result<Option<Date>, Registration>, StoreError> {
        let account = self.account_of_uid(details.party.tenant_uid.as_str()).await?;
        let recorded = match &account {
            Some(account) => self.assignments(account.ledger).await?,
            None => Vec::new(),
        };
        if recorded.last().is_some_and(|last| last.plan == details.rate_plan) {
            return Ok(Ok(None));
        }
        let mut plans = BTreeMap::new();
        for name in recorded
            .iter()
            .map(|assignment| &assignment.plan)
            .chain([&details.rate_plan])
        {
            if !plans.contains_key(name)
                && let Some(version) = self.newest_plan(name).await?
            {
                let plan = RatePlan::parse(&version.spec).map_err(|_| StoreError::unreadable("plan"))?;
                plans.insert(name.clone(), plan);
            }
        }
        let plan = plans.get(&details.rate_plan);
        let own_zone = || zone_named(&details.time_zone).unwrap_or(TimeZone::UTC);
        let zone = plan.map_or_else(own_zone, |plan| plan.zone.clone());
        let from = first_date_of_change(&recorded, |name| plans.contains_key(name), &zone, now);
        let mut of_month = others_of_month(&recorded, from)
            .into_iter()
            .filter_map(|name| plans.get(name));
        let other = plan.and_then(|plan| {
            of_month
                .find(|other| other.currency != plan.currency)
                .zip(Some(plan))
        });
        Ok(match other {
            Some((other, plan)) => Err(Registration::OtherCurrency {
                from: other.currency,
                to: plan.currency,
                date: from,
            }),
            None => Ok(Some(from)),
        })
    }

    /// Marks an account closed; `false` if there is none. A second time changes nothing.
    pub async fn close_account(&self, tenant_uid: &str, now: Timestamp) -> Result<bool, StoreError> {
        let text = "UPDATE account SET closed_at = coalesce(closed_at, $2) WHERE tenant_uid = $1";
        let now = nanosecond_of(now)?;
        in_transaction!(self, transaction => {
            let done = sqlx::query(text).bind(tenant_uid).bind(now).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// All accounts, by name.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let text = select_account!("ORDER BY tenant, ledger_id");
        let rows: Vec<Row> = on_readers!(self, pool => sqlx::query_as(text).fetch_all(pool).await)?;
        rows.into_iter().map(account_of).collect()
    }

    /// Accounts of a name: open ones first, then the newest.
    pub async fn accounts_named(&self, tenant: &str) -> Result<Vec<Account>, StoreError> {
        let text = select_account!(
            "WHERE tenant = $1 ORDER BY CASE WHEN closed_at IS NULL THEN 0 ELSE 1 END, registered_at DESC, ledger_id DESC"
        );
        let rows: Vec<Row> =
            on_readers!(self, pool => sqlx::query_as(text).bind(tenant).fetch_all(pool).await)?;
        rows.into_iter().map(account_of).collect()
    }

    /// The account of a UID.
    pub async fn account_of_uid(&self, tenant_uid: &str) -> Result<Option<Account>, StoreError> {
        let text = select_account!("WHERE tenant_uid = $1");
        let row: Option<Row> =
            on_readers!(self, pool => sqlx::query_as(text).bind(tenant_uid).fetch_optional(pool).await)?;
        row.map(account_of).transpose()
    }

    /// The account of a ledger.
    pub async fn account_of_ledger(&self, ledger: LedgerId) -> Result<Option<Account>, StoreError> {
        let text = select_account!("WHERE ledger_id = $1");
        let row: Option<Row> =
            on_readers!(self, pool => sqlx::query_as(text).bind(ledger).fetch_optional(pool).await)?;
        row.map(account_of).transpose()
    }

    /// The account that a portal token opens: open ones first, then the newest.
    pub async fn account_of_token(&self, token: Digest) -> Result<Option<Account>, StoreError> {
        let text = select_account!(
            "WHERE portal_token_digest = $1
             ORDER BY CASE WHEN closed_at IS NULL THEN 0 ELSE 1 END, registered_at DESC, ledger_id DESC LIMIT 1"
        );
        let row: Option<Row> = on_readers!(self, pool => sqlx::query_as(text).bind(&token.as_bytes()[..]).fetch_optional(pool).await)?;
        let account = row.map(account_of).transpose()?;
        Ok(account.filter(|account| account.details.portal_token.constant_time_equals(&token)))
    }
}

const UPSERT: &str = "INSERT INTO account (ledger_id, tenant_uid, tenant, display_name, time_zone, legal_name, tax_id,
        billing_email, payment_days, portal_token_digest, locale, registered_at, usage_days)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (ledger_id) DO UPDATE SET display_name = excluded.display_name, time_zone = excluded.time_zone,
        legal_name = excluded.legal_name, tax_id = excluded.tax_id, billing_email = excluded.billing_email,
        payment_days = excluded.payment_days, portal_token_digest = excluded.portal_token_digest, locale = excluded.locale,
        usage_days = excluded.usage_days";

fn account_of(row: Row) -> Result<Account, StoreError> {
    let (
        ledger,
        uid,
        tenant,
        display_name,
        time_zone,
        rate_plan,
        legal_name,
        tax_id,
        billing_email,
        days,
        token,
        locale,
        registered,
        closed,
        entity,
        usage_days,
    ) = row;
    let unreadable = |_| StoreError::unreadable("account");
    let party = Party {
        tenant_uid: uid.parse().map_err(|_| StoreError::unreadable("account"))?,
        tenant: tenant.parse().map_err(|_| StoreError::unreadable("account"))?,
    };
    let details = AccountDetails {
        party,
        display_name,
        time_zone,
        rate_plan,
        legal_name,
        tax_id,
        billing_email,
        payment_days: u32::try_from(days).map_err(|_| StoreError::unreadable("account"))?,
        portal_token: Digest::try_from(token.as_slice()).map_err(unreadable)?,
        locale: Locale::nearest(&locale),
        usage_kept: kept_days_of(usage_days)?,
    };
    Ok(Account {
        ledger,
        details,
        registered_at: instant_of(registered)?,
        closed_at: closed.map(instant_of).transpose()?,
        entity: entity_of(&entity)?,
    })
}
