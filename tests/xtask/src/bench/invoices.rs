//! The invoice part of `bench billing`: a PostgreSQL as durable as in production with thousands of tenants, each with a
//! bucket in every quarter of an hour of a month and minutes of service of all of it; billing's program closes the month, is killed in the middle as a power
//! cut would, and is run again.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::clock::{Look, Stopwatch, wait_until};
use crate::command::output;
use crate::progress::alone;

use super::autoscaling::bar;
use super::database::Database;

/// How much.
#[derive(Args)]
pub(super) struct InvoiceOptions {
    /// Tenants whose month is closed.
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    tenants: u64,
}

/// The month, in the plan's zone, and the second at which it begins there.
const PERIOD: &str = "2026-09";
const FIRST_SECOND: i64 = 1_788_192_000;
/// Quarters of an hour of its thirty days.
const SLOTS: i64 = 30 * 96;
const PLAN: &str = r#"{"charges":[{"included":"1000","meter":"interactions","model":"Graduated","name":"answers","tiers":[{"unitPrice":"0.10","upTo":"10000"},{"unitPrice":"0.08"}]}],"currency":"CNY","modules":[{"monthlyFee":"500.00","name":"voice"}],"sla":{"availability":{"objective":"99.9","slice":"5m","badShare":"0.05","minimumRequests":10,"noData":"Up","credits":[{"below":"99.9","percent":"10"},{"below":"99","percent":"25"},{"below":"95","percent":"100"}],"creditCap":"100"}},"surcharges":[{"charge":"answers","name":"evening peak","unitPrice":"0.02","windows":[{"days":["Sat","Sun"],"from":"20:00","to":"24:00"}]}],"tax":{"inclusive":false,"name":"VAT","percent":"6"},"timeZone":"Asia/Shanghai"}"#;

/// Bars, and all that was measured.
pub(super) fn run(options: &InvoiceOptions, _folder: &Path) -> Result<(Vec<Value>, Value)> {
    let tenants = options.tenants;
    let settings = [
        ("max_wal_size", "16GB"),
        ("shared_buffers", "6GB"),
        ("maintenance_work_mem", "1GB"),
    ];
    let books = Books(Database::start(&settings)?);
    alone(
        &format!("{tenants} tenants of {SLOTS} buckets and a month of minutes"),
        |_| books.fill(tenants),
    )?;
    let killed_after = books.killed_in_the_middle(tenants)?;
    let before = books.0.number("SELECT count(*) FROM invoice")?;
    let watch = Stopwatch::start();
    output(&mut books.close())?;
    let rest = watch.elapsed().as_secs_f64();
    let verified = output(&mut books.0.billing(&["verify", "--chain-only"]))
        .map_or_else(|error| format!("{error:#}"), |text| text.trim().to_owned());
    let run = json!({
        "tenants": tenants, "buckets_of_each": SLOTS, "killed_after_s": killed_after, "issued_when_killed": before, "rest_s": rest,
        "invoices": books.0.number("SELECT count(*) FROM invoice")?,
        "tenants_with_one": books.0.number("SELECT count(*) FROM (SELECT 1 FROM invoice GROUP BY ledger_id HAVING count(*) = 1) o")?,
        "billed_interactions": books.0.number("SELECT sum((document::json #>> '{lines,0,counted}')::bigint) FROM invoice")?,
        "with_a_credit": books.0.number("SELECT count(*) FROM invoice WHERE document LIKE '%\"kind\":\"credit\"%'")?,
        "interactions": books.0.number("SELECT sum(quantity)::bigint FROM usage_bucket")?,
        "verify": verified,
    });
    Ok((bars(&run, tenants), run))
}

fn bars(run: &Value, tenants: u64) -> Vec<Value> {
    let seconds = |path: &str| run[path].as_f64().unwrap_or(f64::INFINITY);
    let count = |path: &str| run[path].as_u64().unwrap_or(0);
    let wrong = tenants.abs_diff(count("tenants_with_one"))
        + tenants.abs_diff(count("invoices"))
        + count("interactions").abs_diff(count("billed_interactions"));
    vec![
        bar(
            "invoice run, s",
            seconds("killed_after_s") + seconds("rest_s"),
            60.0,
            tenants,
            &format!(
                "{SLOTS} buckets and a month of minutes of each; both runs, the first killed in the middle"
            ),
        ),
        bar(
            "invoices twice, missing, or with other usage than the buckets",
            wrong as f64,
            0.0,
            tenants,
            "after a kill and a second run",
        ),
    ]
}

struct Books(Database);

impl Books {
    fn close(&self) -> Command {
        self.0.billing(&["close", "--period", PERIOD, "--issue"])
    }

    /// Buckets lie in the order of time, as they came; the index comes after the rows, which is much faster.
    fn fill(&self, tenants: u64) -> Result<()> {
        let begun = FIRST_SECOND - 86_400;
        self.0.say(&format!(
            "INSERT INTO rate_plan (name, uid, generation, spec, digest, recorded_at)
                VALUES ('standard', 'p', 1, '{PLAN}', sha256('{PLAN}'::bytea), 0);
            INSERT INTO ledger (tenant_uid, tenant) SELECT 'uid-' || n, 'tenant-' || n FROM generate_series(1, {tenants}) n;
            INSERT INTO account (ledger_id, tenant_uid, tenant, display_name, time_zone, legal_name, tax_id, billing_email,
                    payment_days, portal_token_digest, locale, registered_at)
                SELECT id, tenant_uid, tenant, tenant, 'Asia/Shanghai', tenant, '', '', 30, sha256(tenant::bytea), 'zh-CN',
                    {begun}000000000 FROM ledger;
            INSERT INTO plan_assignment (ledger_id, ordinal, plan, from_date, recorded_at, recorded_by)
                SELECT id, 1, 'standard', '2026-08-31', {begun}000000000, 'operator' FROM ledger;
            INSERT INTO service_hour (ledger_id, start_second, pool, boot_id, is_probe, reporter, minutes)
                SELECT l.id, {FIRST_SECOND} + 3600 * h, 'web', 'boot', 0, 'gateway-0',
                    decode(repeat(CASE WHEN l.id % 7 = 0 AND h = 100 THEN '0105050a00' ELSE '010a000a00' END, 60), 'hex')
                FROM generate_series(0, {SLOTS} / 4 - 1) h CROSS JOIN (SELECT id FROM ledger ORDER BY id) l"
        ))?;
        let key = self.0.say(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'usage_bucket'::regclass AND contype = 'p'",
        )?;
        let columns = self.0.say(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'usage_bucket'::regclass AND contype = 'p'",
        )?;
        let (key, columns) = (key.trim(), columns.trim());
        if key.is_empty() {
            bail!("usage_bucket has no key");
        }
        self.0
            .say(&format!("ALTER TABLE usage_bucket DROP CONSTRAINT {key}"))?;
        let dimensions = r#"{"channel":"web","kind":"answer","pool":"web"}"#;
        self.0.say(&format!(
            "INSERT INTO usage_bucket (ledger_id, start_second, statement, meter, dimensions_digest, dimensions, quantity)
                SELECT l.id, {FIRST_SECOND} + 900 * s, 1, 'interactions', sha256('{dimensions}'::bytea), '{dimensions}', 1 + (s + l.id) % 9
                FROM generate_series(0, {SLOTS} - 1) s CROSS JOIN (SELECT id FROM ledger ORDER BY id) l"
        ))?;
        self.0.say(&format!(
            "ALTER TABLE usage_bucket ADD CONSTRAINT {key} {columns}"
        ))?;
        self.0.say("VACUUM ANALYZE")?;
        self.0.say("CHECKPOINT").map(drop)
    }

    /// Seconds until the run was killed.
    fn killed_in_the_middle(&self, tenants: u64) -> Result<f64> {
        let watch = Stopwatch::start();
        let mut run = self.close().stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        wait_until("a half of the bills", Duration::from_mins(10), || {
            Ok(Look::holds(
                self.0.number("SELECT last_sequence FROM invoice_chain")? >= tenants / 2,
            ))
        })?;
        run.kill()?;
        run.wait()?;
        Ok(watch.elapsed().as_secs_f64())
    }
}
