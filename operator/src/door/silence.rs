//! Whose trouble it is when nothing comes back from a door: the tenant's, or the operator's own network's. Pure.
//!
//! - *silence*: a probe from which nothing came back in time. Any answer, and be it an error, shows that the way there works.
//! - *heard*: something came back. Of doors, and of the *witness*: the API server's Service, which is looked up by its name and
//!   connected to as doors are.
//!
//! A silence is judged by what else was heard *since the same door was probed before*, so that of an outage of the operator at
//! most the first silence of a door can be taken for the door's, and one alone makes no minute bad:
//!
//! 1. Another door was heard: the way works, it is the door's trouble.
//! 2. None was, and those that were heard last are of several tenants, which fell silent at once: it is the operator's trouble.
//!    A tenant that had been silent for long before says nothing here. Should all of them really be away, their gateways report
//!    nothing, and billing counts that.
//! 3. There is but one tenant to go by: it is the door's trouble if the witness was heard, else the operator's.
//!
//! What this leaves open: an outage that begins in the first period of a term, when some doors were heard and others had no turn
//! yet, and that spares the way to the witness, is judged by the witness.

use std::collections::{BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use springtide_proto::ids::TenantId;

use super::schedule::PERIOD;

/// Whose doors were heard within so long before the last that was, fell silent with it: all have had a turn in that time.
const TOGETHER: SignedDuration = SignedDuration::from_secs(2 * PERIOD.as_secs());
/// Times that are kept of each: a silence is judged when one or two later ones may be known.
const KEPT: usize = 4;

/// When somebody was heard the last times: when the probes were sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(VecDeque<Timestamp>);

impl Heard {
    pub(super) fn note(&mut self, sent: Timestamp) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(sent);
    }

    pub(super) fn is_after(&self, sent: Timestamp) -> bool {
        self.0.iter().any(|time| *time > sent)
    }

    fn until(&self, sent: Timestamp) -> impl Iterator<Item = Timestamp> {
        self.0.iter().copied().filter(move |time| *time <= sent)
    }
}

/// Whether the silence of a door that was probed at `sent`, and at `before` the last time, is the operator's own trouble.
/// `doors` are all that there are, each with its tenant.
pub(super) fn is_own_trouble<'a>(
    before: Timestamp,
    sent: Timestamp,
    doors: impl Iterator<Item = (&'a TenantId, &'a Heard)>,
    witness: &Heard,
) -> bool {
    let doors: Vec<_> = doors.collect();
    let last = doors
        .iter()
        .filter_map(|(_, heard)| heard.until(sent).max())
        .max();
    if last.is_some_and(|last| last > before) {
        return false;
    }
    let fell_silent = doors.iter().filter(|(_, heard)| match last {
        Some(last) => heard.until(sent).any(|time| time >= last - TOGETHER),
        // Nobody was heard yet.
        None => true,
    });
    let tenants: BTreeSet<_> = fell_silent.map(|(tenant, _)| tenant).collect();
    tenants.len() > 1 || !witness.until(sent).any(|time| time > before)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn heard(times: impl Iterator<Item = i64>) -> Heard {
        let mut heard = Heard::default();
        for time in times {
            heard.note(at(time));
        }
        heard
    }

    /// Of a door that was probed at 100 and at 115: with when which tenant was heard, of so many, and when the witness was.
    fn own_trouble(times: &[(i64, u8)], witness: Option<i64>, tenants: u8) -> bool {
        let mut times = times.to_vec();
        times.sort_unstable();
        let doors: Vec<_> = (0..tenants)
            .map(|number| {
                let its = times.iter().filter(|(_, whose)| *whose == number);
                let tenant = TenantId::parse(format!("tenant-{number}")).unwrap();
                (tenant, heard(its.map(|(time, _)| *time)))
            })
            .collect();
        let doors = doors.iter().map(|(tenant, heard)| (tenant, heard));
        is_own_trouble(at(100), at(115), doors, &heard(witness.into_iter()))
    }

    #[test]
    fn a_tenant_that_is_alone_is_judged_by_the_witness() {
        for spoke in [&[][..], &[(0, 0)], &[(100, 0)]] {
            assert!(!own_trouble(spoke, Some(101), 1));
            assert!(!own_trouble(spoke, Some(115), 1));
            assert!(own_trouble(spoke, Some(100), 1), "that is too early");
            assert!(own_trouble(spoke, Some(116), 1), "that is too late");
            assert!(own_trouble(spoke, None, 1));
        }
    }

    #[test]
    fn who_was_silent_for_long_before_is_no_company() {
        assert!(!own_trouble(&[(0, 1), (90, 0)], Some(110), 2));
        assert!(own_trouble(&[(60, 1), (90, 0)], Some(110), 2));
    }

    #[test]
    fn several_of_whom_none_was_heard_yet_are_the_operators_trouble() {
        assert!(own_trouble(&[], Some(110), 2));
    }

    #[test]
    fn doors_of_one_tenant_are_one_tenant() {
        let tenant = TenantId::parse("acme").unwrap();
        let silent = heard([90].into_iter());
        let doors = [(&tenant, &silent), (&tenant, &silent)];
        let witness = heard([110].into_iter());
        assert!(!is_own_trouble(at(100), at(115), doors.into_iter(), &witness));
    }

    fn until_then() -> impl Strategy<Value = Vec<(i64, u8)>> {
        proptest::collection::vec((0_i64..=100, 0_u8..6), 0..40)
    }

    proptest! {
        #[test]
        fn a_door_that_was_heard_in_between_shows_that_the_way_works(
            times in until_then(), other in 101_i64..=115, witness in proptest::option::of(0_i64..116), tenants in 1_u8..6,
        ) {
            let all = [times, vec![(other, tenants - 1)]].concat();
            prop_assert!(!own_trouble(&all, witness, tenants));
        }

        #[test]
        fn when_nothing_at_all_is_heard_it_is_the_operators_trouble(
            times in until_then(), witness in proptest::option::of(0_i64..=100), tenants in 1_u8..6,
        ) {
            prop_assert!(own_trouble(&times, witness, tenants));
        }

        #[test]
        fn several_tenants_that_fell_silent_at_once_are_the_operators_trouble_also_when_they_are_heard_later(
            times in until_then(), last in 0_i64..85, witness in 0_i64..120, tenants in 2_u8..6, again in 116_i64..140,
        ) {
            // All were heard in one period before the silence, and one is again before it is judged.
            let turns = (0..tenants).map(|number| (last + i64::from(number), number));
            let all: Vec<_> = times.into_iter().filter(|(sent, _)| *sent < last).chain(turns).chain([(again, 0)]).collect();
            prop_assert!(own_trouble(&all, Some(witness), tenants));
        }
    }
}
