//! Usage as CSV: a row for each quarter of an hour, meter and set of dimensions, with the header that `rate` reads; and one for
//! each time that a module was taken (1) or dropped (0), to the instant.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::BilledUsage;
use crate::metering::meters::MODULES;
use crate::rating::number::{Exact, Overflow};
use crate::rating::rate::ModuleChange;
use crate::store::StatementUsage;

type Key<'a> = (Timestamp, &'a str, BTreeMap<&'a str, &'a str>);

/// The rows in the order of time. What adds up to nothing has none.
pub fn usage_csv(BilledUsage { usage, modules }: &BilledUsage) -> Result<Vec<u8>, Overflow> {
    let mut sums: BTreeMap<Key<'_>, Exact> = BTreeMap::new();
    for StatementUsage { usage, .. } in usage {
        let dimensions = usage
            .dimensions
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let key = (usage.bucket_start, usage.meter.as_str(), dimensions.collect());
        let sum = sums.entry(key).or_insert(Exact::ZERO);
        *sum = sum.plus(usage.quantity)?;
    }
    sums.retain(|_, quantity| !quantity.is_zero());
    // Of one instant the last word counts.
    sums.extend(modules.iter().map(change));
    let names: BTreeSet<_> = sums
        .keys()
        .flat_map(|(.., dimensions)| dimensions.keys().copied())
        .collect();
    let mut rows = csv::Writer::from_writer(Vec::new());
    let header = ["time", "meter", "quantity"]
        .into_iter()
        .chain(names.iter().copied());
    // Writing to memory does not fail.
    let _ = rows.write_record(header);
    for ((at, meter, dimensions), quantity) in &sums {
        let (at, quantity) = (at.to_string(), quantity.to_string());
        let of = |name: &&str| dimensions.get(*name).copied().unwrap_or_default();
        let values = names.iter().map(of);
        let _ = rows.write_record([at.as_str(), meter, quantity.as_str()].into_iter().chain(values));
    }
    Ok(rows.into_inner().unwrap_or_default())
}

fn change(change: &ModuleChange) -> (Key<'_>, Exact) {
    let dimensions = BTreeMap::from([("module", change.module.as_str())]);
    (
        (change.at, MODULES, dimensions),
        Exact::new(change.active.into(), 0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rating::rate::Usage;

    #[test]
    fn what_landed_in_several_statements_is_one_row_nothing_is_none_and_modules_are_to_the_instant() {
        let landed = |statement, meter: &str, quantity, dimensions: &[(&str, &str)]| StatementUsage {
            statement,
            usage: Usage {
                bucket_start: "2026-11-01T00:15:00Z".parse().unwrap(),
                meter: meter.into(),
                dimensions: dimensions
                    .iter()
                    .map(|(key, value)| ((*key).into(), (*value).into()))
                    .collect(),
                quantity: Exact::new(quantity, 1),
            },
        };
        let usage = vec![
            landed(1, "interactions", 100, &[("pool", "web, \"b\"")]),
            landed(2, "interactions", -5, &[("pool", "web, \"b\"")]),
            landed(1, "handoffs", 10, &[("channel", "app")]),
            landed(2, "handoffs", -10, &[("channel", "app")]),
        ];
        let modules = [("2026-11-01T00:20:30Z", false), ("2026-10-07T08:00:00.25Z", true)];
        let modules = modules.map(|(at, active)| ModuleChange {
            at: at.parse().unwrap(),
            module: "voice".into(),
            active,
        });
        let billed = BilledUsage {
            usage,
            modules: modules.into(),
        };
        let text = String::from_utf8(usage_csv(&billed).unwrap()).unwrap();
        let rows = [
            "time,meter,quantity,module,pool",
            "2026-10-07T08:00:00.25Z,modules,1,voice,",
            "2026-11-01T00:15:00Z,interactions,9.5,,\"web, \"\"b\"\"\"",
            "2026-11-01T00:20:30Z,modules,0,voice,",
        ];
        assert_eq!(text, format!("{}\n", rows.join("\n")));
    }
}
