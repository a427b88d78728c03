//! The part of `bench billing` on reads: a PostgreSQL as durable as in production with a big tenant among others. Twelve of its
//! months are billed, the one after them is over and open, and the next one runs. Billing's program is asked for them as a
//! client firm asks; and in the same run the database alone is asked for the open month's rows.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::command::{attached, output};
use crate::progress::alone;

use super::autoscaling::bar;
use super::database::Database;
use super::released::{self, COURSE};

/// How much.
#[derive(Args)]
pub(super) struct ReadOptions {
    /// Reads of each kind.
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    reads: u64,
    /// Reads a second: an access token has no more than 50.
    #[arg(long, default_value_t = 15, value_name = "RATE")]
    rate: u64,
    /// Other tenants in the table of usage.
    #[arg(long, default_value_t = 300, value_name = "COUNT")]
    others: u64,
}

/// Longest that 99 of 100 reads take, in milliseconds.
const BAR: f64 = 20.0;
const BILLED: u64 = 12;
const ZONE: &str = "Asia/Shanghai";
const TENANT: &str = "big";
const TOKEN: &str = "the-token-of-the-bench";
const CONNECTIONS: u64 = 2;
/// Usage in every quarter of an hour: of each pool what was answered, offered as a list, and not answered.
const SERIES: [(&str, &str); 6] = [
    (
        "interactions",
        r#"{"channel":"app","kind":"answer","pool":"app"}"#,
    ),
    ("interactions", r#"{"channel":"app","kind":"list","pool":"app"}"#),
    (
        "interactions",
        r#"{"channel":"web","kind":"answer","pool":"web"}"#,
    ),
    ("interactions", r#"{"channel":"web","kind":"list","pool":"web"}"#),
    ("unanswered", r#"{"channel":"app","kind":"sorry","pool":"app"}"#),
    ("unanswered", r#"{"channel":"web","kind":"sorry","pool":"web"}"#),
];
const PLAN: &str = r#"{"calendars":{"shopping":["2026-11-11","2026-12-12"]},"charges":[{"included":"1000","meter":"interactions","model":"Graduated","name":"answers","tiers":[{"unitPrice":"0.10","upTo":"10000"},{"unitPrice":"0.08"}]},{"meter":"interactions","model":"PerUnit","name":"lists","unitPrice":"0.01","where":{"kind":"list"}}],"currency":"CNY","modules":[{"monthlyFee":"500.00","name":"voice"}],"sla":{"availability":{"objective":"99.9","slice":"5m","badShare":"0.05","minimumRequests":10,"noData":"Up","credits":[{"below":"99.9","percent":"10"},{"below":"99","percent":"25"},{"below":"95","percent":"100"}],"creditCap":"100"}},"surcharges":[{"charge":"answers","name":"evening peak","unitPrice":"0.02","windows":[{"days":["Sat","Sun"],"from":"20:00","to":"24:00"},{"calendar":"shopping"}]}],"tax":{"inclusive":false,"name":"VAT","percent":"6"},"timeZone":"Asia/Shanghai"}"#;
/// An hour in whose every minute ten turns were answered in time.
const HOUR: &str = "decode(repeat('010a000a00', 60), 'hex')";

/// Bars, and all that was measured.
pub(super) fn run(options: &ReadOptions, folder: &Path) -> Result<(Vec<Value>, Value)> {
    released::build(&[COURSE])?;
    let books = Books(Database::start(&[("shared_buffers", "1GB")])?);
    let open = alone(
        &format!("a year of a big tenant, and {} others", options.others),
        |_| books.fill(options.others),
    )?;
    let billed = books.0.number("SELECT count(*) FROM invoice")?;
    ensure!(billed == BILLED, "{billed} months were billed, not {BILLED}");
    let measured = measure(options, &books.0, &open, folder)?;
    let reference = alone("the database alone", |_| books.rows_alone(options, &open, folder))?;
    let run = json!({
        "buckets": books.0.number("SELECT count(*) FROM usage_bucket WHERE ledger_id = 1")?,
        "buckets_of_the_open_month": books.0.number(&format!("SELECT count(*) {}", open.rows()))?,
        "buckets_of_others": books.0.number("SELECT count(*) FROM usage_bucket WHERE ledger_id > 1")?,
        "invoices": billed, "measured": measured, "rows_alone_ms": reference,
    });
    Ok((bars(&run), run))
}

fn measure(options: &ReadOptions, database: &Database, open: &Month, folder: &Path) -> Result<Value> {
    let number = database.say("SELECT number FROM invoice ORDER BY sequence LIMIT 1")?;
    // The run ends with this command, however that ends.
    let mut run = Command::new("setpriv");
    run.args(["--pdeathsig", "TERM"]);
    run.arg(released::program(COURSE)?).arg("reads");
    run.arg("--report").arg(folder);
    run.arg("--billing").arg(database.program());
    run.args(["--database-url", database.address()]);
    run.args(["--tenant", TENANT, "--token", TOKEN, "--open", &open.name]);
    run.args(["--billed", number.trim()]);
    run.arg(format!("--reads={}", options.reads));
    run.arg(format!("--rate={}", options.rate));
    if std::env::var_os("SPRINGTIDE_LOG").is_none() {
        run.env("SPRINGTIDE_LOG", "error");
    }
    attached(&mut run)?;
    let text = fs::read_to_string(folder.join("figures.json")).context("the run left no figures")?;
    Ok(serde_json::from_str(&text)?)
}

fn bars(run: &Value) -> Vec<Value> {
    let number = |path: &str| run.pointer(path).and_then(Value::as_f64).unwrap_or(f64::INFINITY);
    let reads = run
        .pointer("/measured/size/reads")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    let rows = format!(
        "over TLS, from when it was due; the open month's {} rows by the database alone: p50 {:.1}, p99 {:.1} ms",
        run["buckets_of_the_open_month"],
        number("/rows_alone_ms/p50"),
        number("/rows_alone_ms/p99")
    );
    let kinds = [
        ("the list of a year's bills", "list"),
        ("a closed month's bill", "billed"),
        ("the bill of a whole month that is open", "open"),
        ("the bill of the month that runs", "running"),
        ("the portal's page of the month that runs", "page"),
    ];
    let bars = kinds.map(|(what, kind)| {
        let measured = number(&format!("/measured/{kind}/ms/p99"));
        bar(&format!("{what}, p99, ms"), measured, BAR, reads, &rows)
    });
    bars.into()
}

/// A month in the plan's zone.
struct Month {
    name: String,
    /// Its first second, and the first after it.
    seconds: (i64, i64),
}

impl Month {
    fn rows(&self) -> String {
        let (from, to) = self.seconds;
        format!("FROM usage_bucket WHERE ledger_id = 1 AND start_second >= {from} AND start_second < {to}")
    }
}

struct Books(Database);

impl Books {
    /// The last month that is over: it stays open.
    fn fill(&self, others: u64) -> Result<Month> {
        let mut months = self.months()?;
        let begun = months.first().context("no month")?.seconds.0;
        self.0.say(&format!(
            "INSERT INTO rate_plan (name, uid, generation, spec, digest, recorded_at)
                VALUES ('standard', 'p', 1, '{PLAN}', sha256('{PLAN}'::bytea), 0);
            INSERT INTO ledger (tenant_uid, tenant) VALUES ('uid-{TENANT}', '{TENANT}');
            INSERT INTO account (ledger_id, tenant_uid, tenant, display_name, time_zone, legal_name, tax_id, billing_email,
                    payment_days, portal_token_digest, locale, registered_at)
                SELECT id, tenant_uid, tenant, tenant, '{ZONE}', tenant, '', '', 30, sha256('{TOKEN}'::bytea), 'zh-CN', {begun}000000000
                FROM ledger;
            INSERT INTO plan_assignment (ledger_id, ordinal, plan, from_date, recorded_at, recorded_by)
                SELECT id, 1, 'standard', '2020-01-01', {begun}000000000, 'operator' FROM ledger;
            -- Buckets alone are here: as if all events had been dropped for their age.
            INSERT INTO ledger_retention (ledger_id, kept_since, dropped_before)
                SELECT id, 1000000000 * extract(epoch FROM now())::bigint, 1000000000 * extract(epoch FROM now())::bigint FROM ledger;
            INSERT INTO ledger (tenant_uid, tenant) SELECT 'uid-' || n, 'tenant-' || n FROM generate_series(1, {others}) n"
        ))?;
        let running = months.pop().context("no month runs")?;
        let open = months.pop().context("no month is over")?;
        for month in &months {
            self.add_usage(month)?;
            output(&mut self.0.billing(&["close", "--period", &month.name, "--issue"]))?;
        }
        self.add_usage(&open)?;
        self.add_usage(&running)?;
        let (from, to) = open.seconds;
        let (meter, dimensions) = SERIES[0];
        self.0.say(&format!(
            "INSERT INTO usage_bucket (ledger_id, start_second, statement, meter, dimensions_digest, dimensions, quantity)
                SELECT id, s, 1, '{meter}', sha256('{dimensions}'::bytea), '{dimensions}', 3
                FROM generate_series({from}::bigint, {to} - 1, 900) s CROSS JOIN (SELECT id FROM ledger WHERE id > 1) l"
        ))?;
        self.0.say("VACUUM ANALYZE")?;
        self.0.say("CHECKPOINT")?;
        Ok(open)
    }

    /// Those to be billed, the open one, and the one that runs.
    fn months(&self) -> Result<Vec<Month>> {
        let text = self.0.say(&format!(
            "SELECT to_char(m, 'YYYY-MM'), extract(epoch FROM m AT TIME ZONE '{ZONE}')::bigint,
                extract(epoch FROM (m + interval '1 month') AT TIME ZONE '{ZONE}')::bigint
            FROM (SELECT date_trunc('month', now() AT TIME ZONE '{ZONE}') - n * interval '1 month' AS m
                FROM generate_series({}, 0, -1) n) months",
            BILLED + 1
        ))?;
        let month = |line: &str| {
            let mut fields = line.split('|');
            let name = fields.next()?.to_owned();
            let seconds = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            Some(Month { name, seconds })
        };
        text.lines()
            .map(|line| month(line).with_context(|| format!("{line:?} is no month")))
            .collect()
    }

    /// Up to now, and the minutes of two gateways for each pool.
    fn add_usage(&self, month: &Month) -> Result<()> {
        let (from, to) = month.seconds;
        for (meter, dimensions) in SERIES {
            self.0.say(&format!(
                "INSERT INTO usage_bucket (ledger_id, start_second, statement, meter, dimensions_digest, dimensions, quantity)
                    SELECT id, s, open_statement, '{meter}', sha256('{dimensions}'::bytea), '{dimensions}', 1 + s / 900 % 97
                    FROM generate_series({from}::bigint, {to} - 1, 900) s CROSS JOIN (SELECT id, open_statement FROM ledger WHERE id = 1) l
                    WHERE s < extract(epoch FROM now())"
            ))?;
        }
        self.0
            .say(&format!(
                "INSERT INTO service_hour (ledger_id, start_second, pool, boot_id, is_probe, reporter, minutes)
                    SELECT 1, s, pool, 'boot-' || gateway, 0, 'gateway-' || gateway, {HOUR}
                    FROM generate_series({from}::bigint, {to} - 1, 3600) s, unnest(ARRAY['app', 'web']) pool, generate_series(1, 2) gateway
                    WHERE s < extract(epoch FROM now())"
            ))
            .map(drop)
    }

    /// How long the database takes to hand out the rows of the open month, at the same rate.
    fn rows_alone(&self, options: &ReadOptions, open: &Month, folder: &Path) -> Result<Value> {
        let (script, log) = (folder.join("rows.sql"), folder.join("rows"));
        let text = format!("SELECT start_second, meter, dimensions, quantity {}", open.rows());
        fs::write(&script, text + ";\n")?;
        let mut run = Command::new(self.0.pgbench());
        // By their key, and not by reading the whole table.
        run.env("PGOPTIONS", "-c enable_seqscan=off");
        run.args(["--no-vacuum", "--protocol=prepared", "--log"]);
        run.arg(format!("--client={CONNECTIONS}"));
        run.arg(format!("--rate={}", options.rate));
        run.arg(format!("--transactions={}", options.reads.div_ceil(CONNECTIONS)));
        run.arg(format!("--file={}", script.display()));
        run.arg(format!("--log-prefix={}", log.display()));
        output(run.arg(self.0.address()))?;
        waits_of(folder)
    }
}

/// Percentiles of what pgbench noted, in milliseconds.
fn waits_of(folder: &Path) -> Result<Value> {
    let mut waits = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("rows.")
            && entry.path().extension().is_some_and(|end| end != "sql")
        {
            let text = fs::read_to_string(entry.path())?;
            // Client, number, microseconds, …
            let third = |line: &str| line.split(' ').nth(2)?.parse::<f64>().ok();
            waits.extend(text.lines().filter_map(third));
        }
    }
    ensure!(!waits.is_empty(), "pgbench noted nothing");
    waits.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        waits
            .get((waits.len() * percent / 100).min(waits.len() - 1))
            .map(|wait| wait / 1_000.0)
    };
    Ok(json!({"p50": at(50), "p99": at(99), "n": waits.len()}))
}
