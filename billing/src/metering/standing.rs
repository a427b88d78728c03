//! What all reports of an event say together. Reports only ever add to it, so the order in which they come is no matter.

use springtide_proto::event::INTERACTION_SOURCE;
use springtide_proto::metering::{Delivery, Witness};

/// A set of facts about an event, stored as an integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Standing(i16);

/// A worker reported it.
const WORKER: i16 = 1;
/// A gateway reported it.
const GATEWAY: i16 = 1 << 1;
/// A gateway said that it reached the customer.
const DELIVERED: i16 = 1 << 2;
/// A gateway said that it did not.
const UNDELIVERED: i16 = 1 << 3;
/// A later event undid it.
const REVERSED: i16 = 1 << 4;
/// It undoes an earlier event, and counts for nothing itself.
const REVERSAL: i16 = 1 << 5;

/// SQL that is true for a standing that is billable, where the column is named `standing`. Says what
/// [`Standing::is_billable`] says; understood by both databases.
macro_rules! billable_sql {
    () => {
        "(standing & 48 = 0 AND (standing & 8 = 0 OR standing & 4 <> 0))"
    };
}
pub(crate) use billable_sql;

impl Standing {
    /// Of an event whose first report this is.
    pub fn first(source: &str, is_reversal: bool, witness: Witness, delivery: Delivery) -> Self {
        Self(if is_reversal { REVERSAL } else { 0 }).witnessed(source, witness, delivery)
    }

    /// With one more report. Only a gateway knows whether an interaction was delivered; nothing else is.
    #[must_use]
    pub fn witnessed(self, source: &str, witness: Witness, delivery: Delivery) -> Self {
        let who = match witness {
            Witness::Worker => WORKER,
            Witness::Gateway => GATEWAY,
            Witness::Unspecified => 0,
        };
        let whether = match (witness, delivery) {
            _ if source != INTERACTION_SOURCE => 0,
            (Witness::Gateway, Delivery::Delivered) => DELIVERED,
            (Witness::Gateway, Delivery::Undelivered) => UNDELIVERED,
            _ => 0,
        };
        Self(self.0 | who | whether)
    }

    /// Undone.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self(self.0 | REVERSED)
    }

    /// Was undone.
    pub fn is_reversed(self) -> bool {
        self.0 & REVERSED != 0
    }

    /// Undoes another.
    pub fn is_reversal(self) -> bool {
        self.0 & REVERSAL != 0
    }

    /// It counts: somebody reported it, nobody undid it, and not every gateway that speaks of its delivery says
    /// `undelivered`.
    pub fn is_billable(self) -> bool {
        self.0 & (REVERSED | REVERSAL) == 0 && (self.0 & UNDELIVERED == 0 || self.0 & DELIVERED != 0)
    }

    /// Names of the witnesses, sorted.
    pub fn witnesses(self) -> Vec<&'static str> {
        [(GATEWAY, "gateway"), (WORKER, "worker")]
            .into_iter()
            .filter_map(|(bit, name)| (self.0 & bit != 0).then_some(name))
            .collect()
    }

    /// As it is stored.
    pub fn to_stored(self) -> i16 {
        self.0
    }

    /// As it was stored.
    pub fn from_stored(stored: i16) -> Self {
        Self(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(reports: &[(Witness, Delivery)]) -> Standing {
        reports
            .iter()
            .fold(Standing::default(), |standing, (witness, delivery)| {
                standing.witnessed(INTERACTION_SOURCE, *witness, *delivery)
            })
    }

    #[test]
    fn undelivered_by_every_gateway_is_not_billed_and_one_delivered_outranks() {
        let worker = (Witness::Worker, Delivery::Unspecified);
        let (delivered, undelivered) = (
            (Witness::Gateway, Delivery::Delivered),
            (Witness::Gateway, Delivery::Undelivered),
        );
        for (reports, billable) in [
            (vec![worker], true),
            (vec![worker, undelivered], false),
            (vec![undelivered], false),
            (vec![undelivered, undelivered], false),
            (vec![undelivered, delivered], true),
            (vec![delivered, undelivered], true),
            (vec![(Witness::Gateway, Delivery::Unspecified)], true),
            (
                vec![(Witness::Gateway, Delivery::Unspecified), undelivered],
                false,
            ),
            (vec![(Witness::Worker, Delivery::Undelivered)], true),
        ] {
            assert_eq!(of(&reports).is_billable(), billable, "{reports:?}");
        }
        let handoff = Standing::first("handoff", false, Witness::Gateway, Delivery::Undelivered);
        assert!(handoff.is_billable(), "only interactions are delivered");
    }

    #[test]
    fn what_was_undone_and_what_undoes_count_for_nothing() {
        assert!(
            !of(&[(Witness::Gateway, Delivery::Delivered)])
                .reversed()
                .is_billable()
        );
        assert!(
            !Standing::first(INTERACTION_SOURCE, true, Witness::Worker, Delivery::Unspecified).is_billable()
        );
    }

    proptest! {
        #[test]
        fn reports_in_any_order_and_number_come_to_the_same(
            reports in prop::collection::vec((0_i32..3, 0_i32..3), 1..8), seed in any::<u64>()
        ) {
            let reports: Vec<_> = reports.into_iter()
                .map(|(witness, delivery)| (Witness::try_from(witness).unwrap(), Delivery::try_from(delivery).unwrap())).collect();
            let mut other = reports.clone();
            other.extend(reports.first().copied());
            let turn = usize::try_from(seed % reports.len() as u64).unwrap();
            other.rotate_left(turn);
            other.reverse();
            prop_assert_eq!(of(&reports), of(&other));
        }
    }
}
