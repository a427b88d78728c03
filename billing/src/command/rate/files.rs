//! The files of `rate`. What is wrong is named by file and line.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use prost::Message as _;
use serde_json::Value;
use springtide_proto::metering::{Dimension, Record, UsageEvent, Witness};
use springtide_proto::time::timestamp_to_wire;

use super::in_file;
use crate::export::{PRICES_FROM, PRICES_TO};
use crate::metering::report::Party;
use crate::rating::number::Exact;
use crate::rating::period::Bounds;
use crate::rating::rate::{Exclusion, MinuteCounts};

/// Largest plan file.
const MAX_PLAN: u64 = 4 << 20;
/// Columns of usage that are no dimensions.
const USAGE_COLUMNS: [&str; 3] = ["time", "meter", "quantity"];

/// A row of the usage file.
pub(super) struct UsageRow {
    pub(super) line: u64,
    pub(super) time: Timestamp,
    pub(super) meter: String,
    quantity: String,
    dimensions: Vec<(String, String)>,
}

impl UsageRow {
    /// As a part of the product would report it. Equal rows are separate events: the line is the identity.
    pub(super) fn record(&self, party: &Party) -> Record {
        let event = UsageEvent {
            tenant_uid: party.tenant_uid.to_string(),
            tenant: party.tenant.to_string(),
            source: "file".to_owned(),
            id: format!("line-{}", self.line),
            meter: self.meter.clone(),
            quantity: self.quantity.clone(),
            event_time: Some(timestamp_to_wire(self.time)),
            dimensions: self
                .dimensions
                .iter()
                .map(|(key, value)| Dimension {
                    key: key.clone(),
                    value: value.clone(),
                })
                .collect(),
            reversal_of: String::new(),
        };
        Record {
            usage_event: event.encode_to_vec().into(),
            witness: Witness::Worker.into(),
            delivery: 0,
            reporter: "rate".to_owned(),
            boot_id: "rate".to_owned(),
        }
    }
}

/// A plan of a file.
pub(super) struct FilePlan {
    pub(super) spec: Value,
    /// What it prices; `None`: the month.
    pub(super) bounds: Option<Bounds>,
}

/// The plans in a YAML or JSON file: one RatePlan, which is a manifest or the spec itself; or a list of several, which say
/// from when to when they price.
pub(super) fn plans(path: &Path) -> anyhow::Result<Vec<FilePlan>> {
    let length = std::fs::metadata(path)
        .with_context(|| format!("{} cannot be read", path.display()))?
        .len();
    ensure!(
        length <= MAX_PLAN,
        "{} is longer than {MAX_PLAN} bytes",
        path.display()
    );
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).with_context(|| format!("{} is not YAML", path.display()))?;
    let is_other = |document: &Value| {
        let kind = document.get("kind");
        kind.is_some_and(|kind| kind != "RatePlan" && kind != "List")
    };
    let mut plans = documents
        .into_iter()
        .filter(|document| !document.is_null() && !is_other(document));
    let (Some(plan), None) = (plans.next(), plans.next()) else {
        bail!("{} must hold exactly one RatePlan", path.display())
    };
    if let Some(items) = plan.get("items").and_then(Value::as_array) {
        return items.iter().map(|item| listed_plan(item, path)).collect();
    }
    let spec = match (plan.get("kind"), plan.get("spec")) {
        (None, None) => plan,
        _ => spec_of(&plan, path)?,
    };
    Ok(vec![FilePlan { spec, bounds: None }])
}

fn listed_plan(plan: &Value, path: &Path) -> anyhow::Result<FilePlan> {
    let annotated = |name: &str| -> anyhow::Result<Timestamp> {
        let text = plan
            .pointer("/metadata/annotations")
            .and_then(|annotations| annotations.get(name)?.as_str())
            .with_context(|| {
                format!(
                    "{}: a RatePlan of a list has no annotation {name}",
                    path.display()
                )
            })?;
        text.parse()
            .with_context(|| format!("{}: {name} {text:?} is no instant", path.display()))
    };
    let bounds = Bounds {
        start: annotated(PRICES_FROM)?,
        end: annotated(PRICES_TO)?,
    };
    Ok(FilePlan {
        spec: spec_of(plan, path)?,
        bounds: Some(bounds),
    })
}

fn spec_of(plan: &Value, path: &Path) -> anyhow::Result<Value> {
    plan.get("spec")
        .cloned()
        .with_context(|| format!("{}: the RatePlan has no spec", path.display()))
}

/// All rows of a usage file.
pub(super) fn usage(path: &Path) -> anyhow::Result<Vec<UsageRow>> {
    let mut reader = open(path)?;
    let header = reader.headers().with_context(|| in_file(path))?.clone();
    let [time, meter, quantity] = USAGE_COLUMNS.map(|name| column(&header, name, path));
    let (time, meter, quantity) = (time?, meter?, quantity?);
    let dimensions: Vec<_> = header
        .iter()
        .enumerate()
        .filter(|(_, name)| !USAGE_COLUMNS.contains(name))
        .collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| in_file(path))?;
        let line = record.position().map_or(0, csv::Position::line);
        let place = || format!("{}, line {line}", path.display());
        let field = |column: usize| record.get(column).unwrap_or_default();
        Exact::parse(field(quantity))
            .map_err(|why| anyhow::anyhow!("{}: quantity {:?} {why}", place(), field(quantity)))?;
        let mut named: Vec<_> = dimensions
            .iter()
            .map(|(column, name)| ((*name).to_owned(), field(*column).to_owned()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        named.sort_unstable();
        rows.push(UsageRow {
            line,
            time: instant(field(time)).with_context(place)?,
            meter: field(meter).to_owned(),
            quantity: field(quantity).to_owned(),
            dimensions: named,
        });
    }
    Ok(rows)
}

/// All rows of a file of service minutes, in the order of time.
pub(super) fn minutes(path: &Path) -> anyhow::Result<Vec<(Timestamp, MinuteCounts)>> {
    let mut reader = open(path)?;
    let header = reader.headers().with_context(|| in_file(path))?.clone();
    let [minute, good, bad] = ["minute", "good", "bad"].map(|name| column(&header, name, path));
    let (minute, good, bad) = (minute?, good?, bad?);
    let optional = |name: &str| header.iter().position(|known| known == name);
    let (fast, slow, unreachable) = (optional("fast"), optional("slow"), optional("unreachable"));
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| in_file(path))?;
        let line = record.position().map_or(0, csv::Position::line);
        let place = || format!("{}, line {line}", path.display());
        let count = |column: Option<usize>| {
            let Some(text) = column.and_then(|column| record.get(column)) else {
                return Ok(0);
            };
            text.parse::<u32>()
                .map(u64::from)
                .map_err(|_| anyhow::anyhow!("{}: {text:?} is not a count", place()))
        };
        let at = instant(record.get(minute).unwrap_or_default()).with_context(place)?;
        ensure!(
            at.as_second() % 60 == 0 && at.subsec_nanosecond() == 0,
            "{}: {at} is not the beginning of a minute",
            place()
        );
        let counts = MinuteCounts {
            good: count(Some(good))?,
            bad: count(Some(bad))?,
            fast: count(fast)?,
            slow: count(slow)?,
            unreachable: count(unreachable)? > 0,
        };
        rows.push((at, counts, line));
    }
    rows.sort_by_key(|(at, ..)| *at);
    if let Some([_, (at, _, line)]) = rows.array_windows::<2>().find(|[one, next]| one.0 == next.0) {
        bail!("{}, line {line}: the minute {at} is there twice", path.display());
    }
    Ok(rows.into_iter().map(|(at, counts, _)| (at, counts)).collect())
}

/// All rows of a file of exclusions, in the order of time.
pub(super) fn exclusions(path: &Path) -> anyhow::Result<Vec<Exclusion>> {
    let mut reader = open(path)?;
    let header = reader.headers().with_context(|| in_file(path))?.clone();
    let (from, to) = (column(&header, "from", path)?, column(&header, "to", path)?);
    let optional = |name: &str| header.iter().position(|known| known == name);
    let (reason, approver) = (optional("reason"), optional("approver"));
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| in_file(path))?;
        let line = record.position().map_or(0, csv::Position::line);
        let place = || format!("{}, line {line}", path.display());
        let at = |column: usize| instant(record.get(column).unwrap_or_default()).with_context(place);
        let text = |column: Option<usize>| column.and_then(|column| record.get(column)).unwrap_or_default();
        let (from, to) = (at(from)?, at(to)?);
        ensure!(from < to, "{}: {from} does not lie before {to}", place());
        rows.push(Exclusion {
            from,
            to,
            reason: text(reason).to_owned(),
            approver: text(approver).to_owned(),
        });
    }
    rows.sort_by_key(|exclusion| exclusion.from);
    Ok(rows)
}

fn open(path: &Path) -> anyhow::Result<csv::Reader<File>> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file))
}

fn column(header: &csv::StringRecord, name: &str, path: &Path) -> anyhow::Result<usize> {
    let mut places = header.iter().enumerate().filter(|(_, known)| *known == name);
    match (places.next(), places.next()) {
        (Some((place, _)), None) => Ok(place),
        (None, _) => bail!("{}: there is no column {name:?} in the header", path.display()),
        (Some(_), Some(_)) => bail!("{}: there are two columns {name:?} in the header", path.display()),
    }
}

fn instant(text: &str) -> anyhow::Result<Timestamp> {
    text.parse()
        .map_err(|_| anyhow::anyhow!("{text:?} is not a time in RFC 3339 such as \"2026-11-11T20:00:00Z\""))
}
