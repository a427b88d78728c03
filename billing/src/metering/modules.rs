//! When modules were taken and dropped, as far as it was recorded until an instant: pure.
//!
//! An event that says it may be undone by a later one, a *reversal*. A bill that was issued before that has what was undone.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::report::Event;
use crate::rating::rate::ModuleChange;

/// An event of a ledger that says that a module was taken or dropped, or undoes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedModule {
    /// When it was recorded, by the clock of who took it.
    pub recorded_at: Timestamp,
    /// What it says.
    pub event: Event,
}

/// All of a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleHistory(Vec<RecordedModule>);

impl ModuleHistory {
    /// Of events that come in the order of their times.
    pub fn new(recorded: Vec<RecordedModule>) -> Self {
        Self(recorded)
    }

    /// When something was recorded.
    pub fn instants(&self) -> impl Iterator<Item = Timestamp> {
        self.0.iter().map(|recorded| recorded.recorded_at)
    }

    /// What was known at `until` of the time before `before`, in the order of time.
    pub fn known(&self, before: Timestamp, until: Timestamp) -> Vec<ModuleChange> {
        let known = || self.0.iter().filter(|recorded| recorded.recorded_at <= until);
        let undone: BTreeSet<(&str, &str)> = known()
            .filter_map(|recorded| {
                let RecordedModule { event, .. } = recorded;
                Some((event.source.as_str(), event.reversal_of.as_deref()?))
            })
            .collect();
        let stands = |event: &&Event| {
            event.reversal_of.is_none() && !undone.contains(&(event.source.as_str(), event.id.as_str()))
        };
        known()
            .map(|recorded| &recorded.event)
            .filter(|event| event.time < before)
            .filter(stands)
            .filter_map(Event::module_change)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::metering::meters::MODULES;
    use crate::rating::number::Exact;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn recorded(recorded_at: i64, id: &str, time: i64, undoes: Option<&str>) -> RecordedModule {
        RecordedModule {
            recorded_at: at(recorded_at),
            event: Event {
                source: "provider".into(),
                id: id.into(),
                meter: MODULES.into(),
                quantity: Exact::new(1, 0),
                time: at(time),
                dimensions: BTreeMap::from([("module".into(), id.into())]),
                reversal_of: undoes.map(str::to_owned),
            },
        }
    }

    #[test]
    fn what_is_known_at_an_instant_was_recorded_until_then_and_not_undone_until_then() {
        let history = ModuleHistory::new(vec![
            recorded(10, "a", 1, None),
            recorded(5, "b", 2, None),
            recorded(20, "undo", 30, Some("a")),
            recorded(20, "c", 40, None),
        ]);
        let known = |before, until| -> Vec<String> {
            let known = history.known(at(before), at(until));
            known.into_iter().map(|change| change.module).collect()
        };
        assert_eq!(known(100, 4), Vec::<String>::new());
        assert_eq!(known(100, 9), ["b"]);
        assert_eq!(known(100, 19), ["a", "b"], "in the order of their times");
        assert_eq!(
            known(100, 20),
            ["b", "c"],
            "a is undone, whenever that was said to be"
        );
        assert_eq!(known(40, 20), ["b"]);
        let instants: Vec<_> = history.instants().collect();
        assert_eq!(instants, [10, 5, 20, 20].map(at));
    }
}
