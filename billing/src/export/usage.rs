//! Usage as CSV: a row for each quarter of an hour, meter and set of dimensions, with the header that `rate` reads.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::rating::number::{Exact, Overflow};
use crate::store::StatementUsage;

type Key<'a> = (Timestamp, &'a str, &'a BTreeMap<String, String>);

/// The rows in the order of time. What adds up to nothing has none.
pub fn usage_csv(usage: &[StatementUsage]) -> Result<Vec<u8>, Overflow> {
    let mut sums: BTreeMap<Key<'_>, Exact> = BTreeMap::new();
    for StatementUsage { usage, .. } in usage {
        let key = (usage.bucket_start, usage.meter.as_str(), &usage.dimensions);
        let sum = sums.entry(key).or_insert(Exact::ZERO);
        *sum = sum.plus(usage.quantity)?;
    }
    sums.retain(|_, quantity| !quantity.is_zero());
    let names: BTreeSet<_> = sums
        .keys()
        .flat_map(|(.., dimensions)| dimensions.keys())
        .collect();
    let mut rows = csv::Writer::from_writer(Vec::new());
    let header = ["time", "meter", "quantity"]
        .into_iter()
        .chain(names.iter().map(|name| name.as_str()));
    // Writing to memory does not fail.
    let _ = rows.write_record(header);
    for ((at, meter, dimensions), quantity) in &sums {
        let (at, quantity) = (at.to_string(), quantity.to_string());
        let of = |name: &&String| dimensions.get(*name).map_or("", String::as_str);
        let values = names.iter().map(of);
        let _ = rows.write_record([at.as_str(), meter, quantity.as_str()].into_iter().chain(values));
    }
    Ok(rows.into_inner().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rating::rate::Usage;

    #[test]
    fn what_landed_in_several_statements_is_one_row_and_nothing_is_none() {
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
        let usage = [
            landed(1, "interactions", 100, &[("pool", "web, \"b\"")]),
            landed(2, "interactions", -5, &[("pool", "web, \"b\"")]),
            landed(1, "handoffs", 10, &[("channel", "app")]),
            landed(2, "handoffs", -10, &[("channel", "app")]),
        ];
        let text = String::from_utf8(usage_csv(&usage).unwrap()).unwrap();
        assert_eq!(
            text,
            "time,meter,quantity,pool\n2026-11-01T00:15:00Z,interactions,9.5,\"web, \"\"b\"\"\"\n"
        );
    }
}
