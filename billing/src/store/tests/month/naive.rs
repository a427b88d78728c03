//! What a month comes to, computed from what was committed without the product's own words.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use springtide_proto::event::INTERACTION_SOURCE;
use springtide_proto::metering::Delivery;

use super::population::Population;
use crate::metering::report::{BucketKey, EventKey, Party, Report};

pub(super) type Totals = BTreeMap<(Party, BucketKey), i128>;

pub(super) struct Naive<'a> {
    first: BTreeMap<EventKey, &'a Report>,
    words: BTreeMap<EventKey, BTreeSet<&'static str>>,
    undone: BTreeSet<EventKey>,
    undoing: BTreeSet<EventKey>,
}

impl<'a> Naive<'a> {
    /// Of batches in the order of their commits, after all that came too early was offered again.
    pub(super) fn of(population: &'a Population, commits: &[Vec<usize>]) -> Self {
        let reports = || {
            commits
                .iter()
                .flatten()
                .map(|message| population.report(*message))
        };
        let mut naive = Self {
            first: BTreeMap::new(),
            words: BTreeMap::new(),
            undone: BTreeSet::new(),
            undoing: BTreeSet::new(),
        };
        for report in reports().filter(|report| report.event.reversal_of.is_none()) {
            let counted = naive.first.entry(report.key).or_insert(report);
            if report.event.source == "conversation" && ended(report) > ended(counted) {
                *counted = report;
            }
            let word = match report.provenance.delivery {
                Delivery::Delivered => "delivered",
                Delivery::Undelivered => "undelivered",
                Delivery::Unspecified => continue,
            };
            naive.words.entry(report.key).or_default().insert(word);
        }
        for report in reports() {
            let Some(id) = &report.event.reversal_of else {
                continue;
            };
            let target = report.party.event_key(&report.event.source, id);
            let fits = |first: &&Report| first.event.quantity == report.event.quantity;
            if naive.first.get(&target).is_some_and(fits) && naive.undone.insert(target) {
                naive.undoing.insert(report.key);
            }
        }
        naive
    }

    /// Identities, of events and of what undoes them.
    pub(super) fn identities(&self) -> usize {
        self.first.len() + self.undoing.len()
    }

    fn is_billable(&self, report: &Report) -> bool {
        let said = |word| {
            self.words
                .get(&report.key)
                .is_some_and(|words| words.contains(word))
        };
        let is_delivered =
            report.event.source != INTERACTION_SOURCE || said("delivered") || !said("undelivered");
        is_delivered && !self.undone.contains(&report.key)
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::new();
        for report in self.first.values().filter(|report| self.is_billable(report)) {
            let nanos = report.event.quantity.to_nanos().unwrap();
            *totals
                .entry((report.party.clone(), report.event.bucket()))
                .or_default() += nanos;
        }
        totals
    }
}

/// Of the ends of one conversation the latest counts, and of one message that nobody read the answer.
fn ended(report: &Report) -> (Timestamp, bool) {
    let outcome = report.event.dimensions.get("outcome");
    (
        report.event.time,
        outcome.is_some_and(|outcome| outcome == "abandoned"),
    )
}
