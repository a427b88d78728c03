//! How much of a node one worker takes, so that workers of different sizes can share a cluster.
//!
//! The *size* of a worker is the larger of its CPU request in thousandths of a core and its memory request at 4 GiB a core,
//! the ratio of most nodes: its dominant share (Ghodsi et al., "Dominant Resource Fairness", NSDI 2011) without a look at
//! the nodes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::api::WorkerResources;
use crate::controllers::tenant::{LIMIT_CPU, LIMIT_MEMORY};

/// Thousandths of a core that go with a mebibyte: 1000 / 4096, as a fraction.
const MILLICORES_PER_MEBIBYTE: (u64, u64) = (1000, 4096);
const MEBIBYTE: u64 = 1 << 20;
/// What the tenant's LimitRange gives a worker that requests nothing.
const DEFAULT: (u64, u64) = (50, 64 * MEBIBYTE);
/// What the tenant's LimitRange lets a worker take that names no limit.
const DEFAULT_LIMITS: [(&str, &str); 2] = [("cpu", LIMIT_CPU), ("memory", LIMIT_MEMORY)];
const SUFFIXES: [(&str, u64); 9] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("", 1),
];

/// The size of a worker with those requests, at least 1.
pub(super) fn worker_size(requests: &BTreeMap<String, Quantity>) -> u32 {
    let of = |name: &str| requests.get(name).map(|quantity| quantity.0.as_str());
    let cpu = of("cpu").and_then(thousandths).unwrap_or(DEFAULT.0);
    let memory = of("memory")
        .and_then(|text| Some(thousandths(text)? / 1000))
        .unwrap_or(DEFAULT.1);
    let (numerator, denominator) = MILLICORES_PER_MEBIBYTE;
    let by_memory = (memory / MEBIBYTE).saturating_mul(numerator) / denominator;
    u32::try_from(cpu.max(by_memory).max(1)).unwrap_or(u32::MAX)
}

/// The limits of a worker: those named, and for a request above the limit that the tenant's LimitRange gives, the request
/// itself: the API server would refuse the Pod otherwise.
pub(super) fn limits(resources: &WorkerResources) -> BTreeMap<String, Quantity> {
    let mut limits = resources.limits.clone();
    for (name, given) in DEFAULT_LIMITS {
        let Some(request) = resources.requests.get(name) else {
            continue;
        };
        if thousandths(&request.0) > thousandths(given) {
            limits.entry(name.to_owned()).or_insert_with(|| request.clone());
        }
    }
    limits
}

/// A quantity of Kubernetes in thousandths: "0.5" and "500m" are 500. `None` for what is beyond its range here.
fn thousandths(text: &str) -> Option<u64> {
    if let Some(milli) = text.strip_suffix('m') {
        return milli.parse().ok();
    }
    let (digits, unit) = SUFFIXES
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = format!("{:0<3}", fraction.get(..fraction.len().min(3))?);
    let scaled: u64 = format!("{whole}{fraction}").parse().ok()?;
    scaled.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(requests: &[(&str, &str)]) -> u32 {
        let quantity = |(name, text): &(&str, &str)| ((*name).to_owned(), Quantity((*text).to_owned()));
        worker_size(&requests.iter().map(quantity).collect())
    }

    #[test]
    fn a_request_above_the_given_limit_is_its_own_limit() {
        let quantities = |all: &[(&str, &str)]| -> BTreeMap<_, _> {
            let quantity = |(name, text): &(&str, &str)| ((*name).to_owned(), Quantity((*text).to_owned()));
            all.iter().map(quantity).collect()
        };
        for (requests, named, expected) in [
            (
                vec![("cpu", "64"), ("memory", "64Mi")],
                vec![],
                vec![("cpu", "64")],
            ),
            (vec![("cpu", "4")], vec![("cpu", "8")], vec![("cpu", "8")]),
            (
                vec![("cpu", "2"), ("memory", "1Gi")],
                vec![],
                vec![("memory", "1Gi")],
            ),
            (vec![], vec![], vec![]),
        ] {
            let resources = WorkerResources {
                requests: quantities(&requests),
                limits: quantities(&named),
            };
            assert_eq!(
                limits(&resources),
                quantities(&expected),
                "{requests:?} {named:?}"
            );
        }
    }

    #[test]
    fn the_dominant_request_is_a_workers_size() {
        for (requests, expected) in [
            (vec![("cpu", "400m"), ("memory", "32Mi")], 400),
            (vec![("cpu", "50m"), ("memory", "4Gi")], 1_000),
            (vec![("cpu", "1.5"), ("memory", "1Gi")], 1_500),
            (vec![("cpu", "2"), ("memory", "500M")], 2_000),
            (vec![], 50),
            (vec![("cpu", "0"), ("memory", "0")], 1),
            (vec![("cpu", "what")], 50),
        ] {
            assert_eq!(size(&requests), expected, "{requests:?}");
        }
    }
}
