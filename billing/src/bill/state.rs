//! States of a bill and what leads from one to another. Pure.
//!
//! draft → review → issued → paid, disputed, credited. A draft is never stored and a review is kept beside the bill; from
//! *issued* on, each state is a row that never changes, and the last one counts.

use jiff::Timestamp;
use serde::Serialize;

use crate::store::{StateRecord, TaxRegistration};

/// In which state a bill is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InvoiceState {
    /// Computed, and would be another tomorrow.
    Draft,
    /// Somebody is to look at it.
    Review,
    /// It stands, and is to be paid.
    Issued,
    /// Paid.
    Paid,
    /// The client says that it is wrong.
    Disputed,
    /// Taken back by a credit note.
    Credited,
}

/// What leads from a state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Put before somebody.
    Review,
    /// Issue.
    Issue,
    /// Note a payment.
    Pay,
    /// Note that the client disputes it.
    Dispute,
    /// End a dispute: it was right.
    Resolve,
    /// Take it back.
    Credit,
}

/// Something that cannot be done in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a bill that is {} cannot be {}", .from.name(), .act.participle())]
pub struct Illegal {
    /// The state it is in.
    pub from: InvoiceState,
    /// What was asked.
    pub act: Act,
}

use InvoiceState::{Credited, Disputed, Draft, Issued, Paid, Review};

/// All that may happen; but for [`Act::Resolve`], which leads back to the state before the dispute.
const LEGAL: [(InvoiceState, Act, InvoiceState); 11] = [
    (Draft, Act::Review, Review),
    (Review, Act::Review, Review),
    (Draft, Act::Issue, Issued),
    (Review, Act::Issue, Issued),
    (Issued, Act::Pay, Paid),
    (Issued, Act::Dispute, Disputed),
    (Paid, Act::Dispute, Disputed),
    (Issued, Act::Credit, Credited),
    (Paid, Act::Credit, Credited),
    (Disputed, Act::Credit, Credited),
    (Disputed, Act::Pay, Paid),
];

/// The state that `act` leads to, after `history`, whose last state is the one it is in; none: a draft.
pub fn after(history: &[InvoiceState], act: Act) -> Result<InvoiceState, Illegal> {
    let from = history.last().copied().unwrap_or(Draft);
    if (from, act) == (Disputed, Act::Resolve) {
        let before = history.iter().rev().find(|state| **state != Disputed);
        return before.copied().ok_or(Illegal { from, act });
    }
    // Once, whatever was disputed since.
    if act == Act::Pay && history.contains(&Paid) {
        return Err(Illegal { from: Paid, act });
    }
    LEGAL
        .into_iter()
        .find(|(state, done, _)| (*state, *done) == (from, act))
        .map(|(_, _, to)| to)
        .ok_or(Illegal { from, act })
}

impl InvoiceState {
    /// As it is stored and written.
    pub fn name(self) -> &'static str {
        match self {
            Draft => "draft",
            Review => "review",
            Issued => "issued",
            Paid => "paid",
            Disputed => "disputed",
            Credited => "credited",
        }
    }

    /// From how it is stored.
    pub fn from_name(name: &str) -> Option<Self> {
        [Draft, Review, Issued, Paid, Disputed, Credited]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

impl Act {
    fn participle(self) -> &'static str {
        match self {
            Self::Review => "put into review",
            Self::Issue => "issued",
            Self::Pay => "paid",
            Self::Dispute => "disputed",
            Self::Resolve => "resolved",
            Self::Credit => "credited",
        }
    }
}

/// What the tax office knows of a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TaxState {
    /// Asked for.
    Requested,
    /// It has the tax office's number.
    Registered,
    /// Reversed by a red letter, which has a number of its own.
    Reversed,
}

impl TaxState {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Registered => "registered",
            Self::Reversed => "reversed",
        }
    }

    /// From how it is stored.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Requested, Self::Registered, Self::Reversed]
            .into_iter()
            .find(|state| state.name() == name)
    }

    /// It may come after `before`; one that was reversed may be asked for anew.
    pub fn may_follow(self, before: Option<Self>) -> bool {
        match self {
            Self::Requested => matches!(before, None | Some(Self::Reversed)),
            Self::Registered => before != Some(Self::Registered),
            Self::Reversed => before == Some(Self::Registered),
        }
    }
}

/// What the tax office knows of a bill, all in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxStanding {
    /// How far it is.
    pub state: TaxState,
    /// The tax office's number; empty: not known.
    pub tax_number: String,
    /// The number of the red letter; empty: none.
    pub red_letter: String,
}

impl TaxStanding {
    /// What was noted one after the other: numbers stay until a bill that was reversed is asked for anew.
    pub fn of(history: &[TaxRegistration]) -> Option<Self> {
        history.iter().fold(None, |before: Option<Self>, noted| {
            let kept = before.filter(|_| noted.state != TaxState::Requested);
            let or_kept = |number: &String, kept: Option<&String>| match kept {
                Some(kept) if number.is_empty() => kept.clone(),
                _ => number.clone(),
            };
            Some(Self {
                state: noted.state,
                tax_number: or_kept(&noted.tax_number, kept.as_ref().map(|kept| &kept.tax_number)),
                red_letter: or_kept(
                    &noted.red_letter_number,
                    kept.as_ref().map(|kept| &kept.red_letter),
                ),
            })
        })
    }
}

/// What came of a dispute, with the state that ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// Nobody answered it yet.
    Open,
    /// The bill was right, and is again what it was before.
    Stands(&'a StateRecord),
    /// The bill was paid all the same.
    Paid(&'a StateRecord),
    /// The bill was taken back.
    TakenBack(&'a StateRecord),
}

/// What came of a dispute that was opened at that time, of the bill's states in their order.
pub fn outcome_of(opened_at: Timestamp, history: &[StateRecord]) -> Outcome<'_> {
    let (before, after): (Vec<_>, Vec<_>) = history
        .iter()
        .filter(|record| record.state != Disputed)
        .partition(|record| record.at <= opened_at);
    let taken_back = before.last().filter(|record| record.state == Credited);
    match after.first().or(taken_back) {
        None => Outcome::Open,
        Some(ended) if ended.state == Credited => Outcome::TakenBack(ended),
        Some(ended) if before.last().is_some_and(|before| before.state == ended.state) => {
            Outcome::Stands(ended)
        }
        Some(ended) => Outcome::Paid(ended),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(state: InvoiceState, at: i64) -> StateRecord {
        StateRecord {
            state,
            actor: "jo".into(),
            note: String::new(),
            at: Timestamp::from_second(at).unwrap(),
        }
    }

    #[test]
    fn a_dispute_ends_with_the_first_state_after_it_that_is_none() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let history = [
            record(Issued, 1),
            record(Disputed, 2),
            record(Issued, 5),
            record(Disputed, 6),
            record(Paid, 7),
            record(Disputed, 8),
            record(Credited, 9),
        ];
        for (opened, expected) in [
            (2, Outcome::Stands(&history[2])),
            (3, Outcome::Stands(&history[2])),
            (6, Outcome::Paid(&history[4])),
            (8, Outcome::TakenBack(&history[6])),
            (10, Outcome::TakenBack(&history[6])),
        ] {
            assert_eq!(outcome_of(at(opened), &history), expected, "{opened}");
        }
        assert_eq!(outcome_of(at(8), &history[..6]), Outcome::Open);
    }

    #[test]
    fn the_tax_offices_numbers_stay_until_a_bill_is_asked_for_anew() {
        let noted = |state, tax_number: &str, red_letter: &str| TaxRegistration {
            state,
            tax_number: tax_number.into(),
            red_letter_number: red_letter.into(),
            actor: "jo".into(),
            note: String::new(),
            at: Timestamp::UNIX_EPOCH,
        };
        let history = [
            noted(TaxState::Requested, "", ""),
            noted(TaxState::Registered, "25310001", ""),
            noted(TaxState::Reversed, "", "25310002"),
            noted(TaxState::Requested, "", ""),
        ];
        let standing = |count: usize| {
            let standing = TaxStanding::of(&history[..count])?;
            Some((standing.state.name(), standing.tax_number, standing.red_letter))
        };
        let said =
            |state, number: &str, red_letter: &str| Some((state, number.to_owned(), red_letter.to_owned()));
        assert_eq!(standing(0), None);
        assert_eq!(standing(2), said("registered", "25310001", ""));
        assert_eq!(standing(3), said("reversed", "25310001", "25310002"));
        assert_eq!(standing(4), said("requested", "", ""));
    }

    const STATES: [InvoiceState; 6] = [Draft, Review, Issued, Paid, Disputed, Credited];
    const ACTS: [Act; 6] = [
        Act::Review,
        Act::Issue,
        Act::Pay,
        Act::Dispute,
        Act::Resolve,
        Act::Credit,
    ];

    #[test]
    fn only_the_transitions_of_the_table_are_legal() {
        let to = |from, act| after(&[from], act).map_or("-", InvoiceState::name);
        let table: Vec<_> = STATES
            .into_iter()
            .map(|from| (from.name(), ACTS.map(|act| to(from, act))))
            .collect();
        assert_eq!(
            table,
            [
                ("draft", ["review", "issued", "-", "-", "-", "-"]),
                ("review", ["review", "issued", "-", "-", "-", "-"]),
                ("issued", ["-", "-", "paid", "disputed", "-", "credited"]),
                ("paid", ["-", "-", "-", "disputed", "-", "credited"]),
                ("disputed", ["-", "-", "paid", "-", "-", "credited"]),
                ("credited", ["-", "-", "-", "-", "-", "-"]),
            ]
        );
    }

    #[test]
    fn a_dispute_that_is_resolved_leads_back_to_where_it_came_from() {
        assert_eq!(after(&[Issued, Disputed], Act::Resolve), Ok(Issued));
        assert_eq!(after(&[Issued, Paid, Disputed], Act::Resolve), Ok(Paid));
        assert_eq!(
            after(&[Issued, Paid, Disputed], Act::Pay)
                .unwrap_err()
                .to_string(),
            "a bill that is paid cannot be paid"
        );
        assert_eq!(
            after(&[Issued, Paid], Act::Resolve).unwrap_err().to_string(),
            "a bill that is paid cannot be resolved"
        );
    }

    #[test]
    fn the_tax_office_registers_before_it_reverses() {
        use TaxState::{Registered, Requested, Reversed};
        let after = |before| [Requested, Registered, Reversed].map(|state| state.may_follow(before));
        assert_eq!(after(None), [true, true, false]);
        assert_eq!(after(Some(Requested)), [false, true, false]);
        assert_eq!(after(Some(Registered)), [false, false, true]);
        assert_eq!(after(Some(Reversed)), [true, true, false]);
    }
}
