//! Which meters are known: those that Springtide counts itself, which are *built in*, and those that a plan names which the
//! tenant had, has or will have. What nobody knows is most likely misspelt: it is kept as a rejection until a plan names it,
//! and not counted for nothing. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use springtide_proto::error::Reason;

use super::report::{Examined, Party, Report};

/// What says that modules were taken or dropped.
pub const MODULES: &str = "modules";

/// What the provider's parts alone report: a client firm's own word is not taken for any of them.
const BUILT_IN: [&str; 6] = [
    "conversations",
    "handoffs",
    "interactions",
    MODULES,
    "ratings",
    "unanswered",
];

/// Springtide counts it itself, whatever plans say.
pub fn is_built_in(meter: &str) -> bool {
    BUILT_IN.contains(&meter)
}

/// The meters that plans name, of parties that report others than those which are built in.
pub type NamedByPlans = BTreeMap<Party, BTreeSet<String>>;

/// Whose plans are to be asked.
pub fn parties_to_ask(records: &[Examined]) -> BTreeSet<&Party> {
    let others = records
        .iter()
        .flatten()
        .filter(|report| !is_built_in(&report.event.meter));
    others.map(|report| &report.party).collect()
}

/// The records, those as rejections whose meter is not known.
pub fn judged<'a>(records: &'a [Examined], named: &NamedByPlans) -> Cow<'a, [Examined]> {
    let is_known = |report: &Report| {
        let meter = &report.event.meter;
        is_built_in(meter)
            || named
                .get(&report.party)
                .is_some_and(|named| named.contains(meter))
    };
    if records.iter().flatten().all(|report| is_known(report)) {
        return Cow::Borrowed(records);
    }
    let judge = |record: &Examined| match record {
        Ok(report) if !is_known(report) => {
            let message = format!(
                "meter {} is not known: no rate plan of this tenant names it, and it is not built in",
                report.event.meter
            );
            Err(Box::new(report.rejected(Reason::EventRejected, message)))
        }
        record => record.clone(),
    };
    records.iter().map(judge).collect()
}
