//! Accounts: who is billed, by which plan. One for each UID of a Tenant object.

use jiff::Timestamp;

use super::ingest::{instant_of, nanosecond_of};
use super::{Store, StoreError, in_transaction, on_readers};
use crate::digest::Digest;
use crate::locale::Locale;
use crate::metering::decide::LedgerId;
use crate::metering::report::Party;

/// What is known of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountDetails {
    /// Tenant UID and name.
    pub party: Party,
    /// For people.
    pub display_name: String,
    /// IANA zone of the tenant; bills go by the plan's.
    pub time_zone: String,
    /// Name of its plan.
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
}

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Made or updated.
    Done,
    /// The UID belongs to another name.
    OtherName,
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
);

macro_rules! select_account {
    ($rest:literal) => {
        concat!(
            "SELECT ledger_id, tenant_uid, tenant, display_name, time_zone, rate_plan, legal_name, tax_id, billing_email, \
             payment_days, portal_token_digest, locale, registered_at, closed_at FROM account ",
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
                .bind(&details.rate_plan)
                .bind(&details.legal_name)
                .bind(&details.tax_id)
                .bind(&details.billing_email)
                .bind(i64::from(details.payment_days))
                .bind(&details.portal_token.as_bytes()[..])
                .bind(details.locale.tag())
                .bind(now)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(Registration::Done)
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

const UPSERT: &str = "INSERT INTO account (ledger_id, tenant_uid, tenant, display_name, time_zone, rate_plan, legal_name, tax_id,
        billing_email, payment_days, portal_token_digest, locale, registered_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (ledger_id) DO UPDATE SET display_name = excluded.display_name, time_zone = excluded.time_zone,
        rate_plan = excluded.rate_plan, legal_name = excluded.legal_name, tax_id = excluded.tax_id,
        billing_email = excluded.billing_email, payment_days = excluded.payment_days,
        portal_token_digest = excluded.portal_token_digest, locale = excluded.locale";

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
    };
    Ok(Account {
        ledger,
        details,
        registered_at: instant_of(registered)?,
        closed_at: closed.map(instant_of).transpose()?,
    })
}
