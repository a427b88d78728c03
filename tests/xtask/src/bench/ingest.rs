//! The ingest part of `bench billing`: a PostgreSQL of its own, as durable as in production, with millions of random keys; billing's
//! program before it; and in the same run `COPY` of the same rows into the same tables.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::clock::Stopwatch;
use crate::command::{attached, output};
use crate::progress::alone;

use super::autoscaling::bar;
use super::billing::at_least;
use super::database::Database;
use super::released::{self, COURSE};

/// How much.
#[derive(Args)]
pub(super) struct IngestOptions {
    /// Random keys that are there before.
    #[arg(long, default_value_t = 40_000_000, value_name = "COUNT")]
    keys: u64,
    /// Seconds of the long phase. Ten minutes leave some 20 GB of events, and up to 24 GB of log for a while.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    seconds: u64,
    /// Tenants that report at the same time.
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    lanes: u64,
    /// PostgreSQL's shared_buffers, about a quarter of the machine's memory.
    #[arg(long, default_value = "6GB", value_name = "SIZE")]
    shared_buffers: String,
    /// PostgreSQL's checkpoint_timeout: two of them fit into the long phase.
    #[arg(long, default_value = "4min", value_name = "TIME")]
    checkpoint_timeout: String,
}

/// Rows of the reference, at most.
const REFERENCE_ROWS: u64 = 1_000_000;

/// Bars, and all that was measured.
pub(super) fn run(options: &IngestOptions, folder: &Path) -> Result<(Vec<Value>, Value)> {
    released::build(&[COURSE])?;
    let settings = [
        ("wal_compression", "lz4"),
        ("wal_buffers", "64MB"),
        ("max_wal_size", "24GB"),
        ("checkpoint_timeout", options.checkpoint_timeout.as_str()),
        ("checkpoint_completion_target", "0.9"),
        ("shared_buffers", options.shared_buffers.as_str()),
    ];
    let database = Database::start(&settings)?;
    alone(&format!("{} random keys", options.keys), |_| {
        fill(&database, options.keys)
    })?;
    let before = checkpoints(&database)?;
    let figures = measure(options, &database, folder)?;
    let checkpoints = checkpoints(&database)? - before;
    let counted = database.number("SELECT COALESCE(sum(quantity), 0)::bigint FROM usage_bucket")?;
    let events = database.number("SELECT count(*) FROM event")?;
    let references = alone("COPY of the same rows", |_| references(&database))?;
    let configuration = configuration(&database)?;
    let run = json!({
        "keys_before": options.keys, "checkpoints": checkpoints, "events": events, "billed": counted, "figures": figures,
        "copy_rows_per_s": references, "configuration": configuration,
    });
    Ok((bars(&run), run))
}

fn measure(options: &IngestOptions, database: &Database, folder: &Path) -> Result<Value> {
    // The run ends with this command, however that ends.
    let mut run = Command::new("setpriv");
    run.args(["--pdeathsig", "TERM"]);
    run.arg(released::program(COURSE)?).arg("ingest");
    run.arg("--report").arg(folder);
    run.arg("--billing").arg(database.program());
    run.args(["--database-url", database.address()]);
    run.arg(format!("--seconds={}", options.seconds));
    run.arg(format!("--lanes={}", options.lanes));
    if std::env::var_os("SPRINGTIDE_LOG").is_none() {
        run.env("SPRINGTIDE_LOG", "error");
    }
    attached(&mut run)?;
    let text = fs::read_to_string(folder.join("figures.json")).context("the run left no figures")?;
    Ok(serde_json::from_str(&text)?)
}

fn bars(run: &Value) -> Vec<Value> {
    let number = |path: &str| run.pointer(path).and_then(Value::as_f64);
    let least = |path: &str| number(path).unwrap_or(0.0);
    let most = |path: &str| number(path).unwrap_or(f64::INFINITY);
    let count = |path: &str| run.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let keys = format!(
        "{} random keys before, {} checkpoints",
        count("/keys_before"),
        count("/checkpoints")
    );
    let rate = least("/figures/bulk/reports_per_s");
    let copy = least("/copy_rows_per_s/two_connections");
    let lost = count("/events").abs_diff(count("/billed"));
    vec![
        at_least(
            "durable reports/s, batches of 10,000, each event twice",
            rate,
            50_000.0,
            count("/figures/bulk/reports"),
            &keys,
        ),
        at_least(
            "the same against COPY of key and event rows, two connections",
            if copy > 0.0 { rate / copy } else { 0.0 },
            0.4,
            count("/figures/bulk/reports"),
            &format!("COPY: {copy:.0} rows/s; into the same tables, same keys, same run"),
        ),
        bar(
            "unary report at 500/s alone, p99, ms",
            most("/figures/small_alone_ms/p99"),
            30.0,
            10_000,
            "from when it was due",
        ),
        bar(
            "unary report at 500/s beside bulk, p99, ms",
            most("/figures/small_beside_bulk_ms/p99"),
            100.0,
            10_000,
            "from when it was due",
        ),
        bar(
            "batch of 10,000, one at a time, p99, ms",
            most("/figures/one_batch_at_a_time/batch_ms/p99"),
            250.0,
            count("/figures/one_batch_at_a_time/batches"),
            "from sending to acknowledgement",
        ),
        bar(
            "events that are not on the bill at once, or twice",
            lost as f64,
            0.0,
            count("/events"),
            "sum of usage against events, read after the last answer",
        ),
    ]
}

fn checkpoints(database: &Database) -> Result<u64> {
    database.number("SELECT checkpoints_timed + checkpoints_req FROM pg_stat_bgwriter")
}

/// Rows first and then the index over them: much faster than one by one.
fn fill(database: &Database, keys: u64) -> Result<()> {
    database.say("ALTER TABLE event_key DROP CONSTRAINT event_key_pkey")?;
    database.say(&format!(
        "INSERT INTO event_key (key, hash, event_time, worker, gateway, standing, delivery)
        SELECT gen_random_uuid(), gen_random_uuid(), 1700000000000000000 + n, 1, 2, 7, 2 FROM generate_series(1, {keys}) n"
    ))?;
    database.say("SET maintenance_work_mem = '2GB'; ALTER TABLE event_key ADD CONSTRAINT event_key_pkey PRIMARY KEY (key)")?;
    database.say("VACUUM ANALYZE event_key")?;
    database.say("CHECKPOINT").map(drop)
}

/// Rows a second of plain COPY into `event_key` and `event`, of rows of the run under new keys, over one and two connections.
/// The new keys are the old ones with their digits exchanged: those that lay side by side still do.
fn references(database: &Database) -> Result<Value> {
    let events = database.number("SELECT count(*) FROM event")?;
    let rows = REFERENCE_ROWS.min(events);
    if rows == 0 {
        bail!("the run left no events");
    }
    for (part, digits) in (1..).zip(["89abcdef01234567", "cdef89ab45670123", "fedcba9876543210"]) {
        let file = |name: &str| {
            database
                .folder()
                .join(format!("{name}-{part}"))
                .display()
                .to_string()
        };
        database.say(&format!(
            "CREATE TABLE reference AS SELECT translate(e.key::text, '0123456789abcdef', '{digits}')::uuid AS key,
                ledger_id, event_time, recorded_at, meter, quantity, payload FROM event e LIMIT {rows};
            COPY (SELECT key, gen_random_uuid(), event_time, 1, 2, 7::smallint, 2::smallint FROM reference) TO '{}' (FORMAT binary);
            COPY (SELECT ledger_id, event_time, recorded_at, key, meter, quantity, payload FROM reference) TO '{}' (FORMAT binary);
            DROP TABLE reference",
            file("keys"),
            file("events")
        ))?;
    }
    let copying = |part: u32| {
        let file = |name: &str| {
            database
                .folder()
                .join(format!("{name}-{part}"))
                .display()
                .to_string()
        };
        database.saying(&format!(
            "BEGIN; COPY event_key (key, hash, event_time, worker, gateway, standing, delivery) FROM '{}' (FORMAT binary);
            COPY event (ledger_id, event_time, recorded_at, key, meter, quantity, payload) FROM '{}' (FORMAT binary); COMMIT",
            file("keys"),
            file("events")
        ))
    };
    let watch = Stopwatch::start();
    output(&mut copying(1))?;
    let one = rows as f64 / watch.elapsed().as_secs_f64();
    let watch = Stopwatch::start();
    let mut both = [copying(2).spawn()?, copying(3).spawn()?];
    for child in &mut both {
        if !child.wait()?.success() {
            bail!("COPY failed");
        }
    }
    let two = 2.0 * rows as f64 / watch.elapsed().as_secs_f64();
    Ok(json!({"one_connection": one, "two_connections": two, "rows_of_each": rows}))
}

fn configuration(database: &Database) -> Result<Value> {
    let text = database.say(
        "SELECT json_object_agg(name, current_setting(name)) FROM pg_settings WHERE name IN ('server_version', 'fsync',
        'synchronous_commit', 'full_page_writes', 'wal_compression', 'wal_buffers', 'max_wal_size', 'checkpoint_timeout',
        'checkpoint_completion_target', 'shared_buffers', 'max_connections', 'wal_sync_method', 'autovacuum')",
    )?;
    Ok(serde_json::from_str(&text)?)
}
