//! Amounts of bills as whole numbers of the currency's smallest unit, and what a bill posts to the journal. Pure.
//!
//! The journal is double entry; debits are above zero. A bill's total goes from *clearing* to *receivable*, and each of its
//! lines from *revenue*, *credits* or *tax* to *clearing*: what is left there would be a bill whose lines are not its
//! total, and the database refuses that.

use std::collections::BTreeMap;

use crate::bill::document::Document;
use crate::rating::currency::Currency;
use crate::rating::number::Exact;
use crate::rating::rate::{Line, Rule};

/// Accounts of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JournalAccount {
    /// What clients owe.
    Receivable,
    /// What was earned, without tax.
    Revenue,
    /// What was given back for missed service levels.
    Credits,
    /// What is owed to the tax office.
    Tax,
    /// Usage on its way to a bill; zero after each posting.
    Clearing,
    /// What was paid.
    Cash,
}

/// One side of a posting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub account: JournalAccount,
    /// In smallest units; a debit is above zero.
    pub amount: i64,
}

/// An amount that the journal cannot hold, or that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the amount {amount:?} {currency} is not one that the books can hold")]
pub struct BadAmount {
    amount: String,
    currency: String,
}

impl BadAmount {
    pub(super) fn of(amount: &str, currency: &str) -> Self {
        Self {
            amount: amount.to_owned(),
            currency: currency.to_owned(),
        }
    }
}

impl JournalAccount {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Receivable => "receivable",
            Self::Revenue => "revenue",
            Self::Credits => "credits",
            Self::Tax => "tax",
            Self::Clearing => "clearing",
            Self::Cash => "cash",
        }
    }
}

/// An amount of a bill in smallest units.
pub fn minor_of(amount: &str, currency: &str) -> Result<i64, BadAmount> {
    let bad = || BadAmount::of(amount, currency);
    let exponent = Currency::from_code(currency).ok_or_else(bad)?.exponent();
    let (sign, digits) = amount.strip_prefix('-').map_or((1, amount), |rest| (-1, rest));
    let exact = Exact::parse(digits).map_err(|_| bad())?;
    let minor = exact.rounded(exponent).map_err(|_| bad())?;
    if Currency::from_code(currency).is_some_and(|currency| currency.amount(minor) != exact) {
        return Err(bad());
    }
    held(sign * minor).ok_or_else(bad)
}

/// What the journal can hold, and take back: the least of all numbers has no counterpart above zero.
fn held(minor: i128) -> Option<i64> {
    i64::try_from(minor).ok().filter(|minor| *minor != i64::MIN)
}

/// Smallest units as they are written on a bill.
pub fn written(minor: i64, currency: &str) -> String {
    Currency::from_code(currency).map_or_else(
        || minor.to_string(),
        |currency| currency.amount(minor.into()).padded(currency.decimals()),
    )
}

/// The sum of the lines that are not informational.
pub fn sum_of_lines(document: &Document) -> Result<i64, BadAmount> {
    sum_of(document, |line| !line.informational)
}

fn sum_of(document: &Document, wanted: impl Fn(&Line) -> bool) -> Result<i64, BadAmount> {
    let lines = document.lines.iter().filter(|entry| wanted(&entry.line));
    lines
        .map(|entry| minor_of(&entry.line.amount, &document.currency))
        .try_fold(0_i64, |sum, amount| add(sum, amount?, document))
}

fn add(one: i64, two: i64, document: &Document) -> Result<i64, BadAmount> {
    held(i128::from(one) + i128::from(two)).ok_or_else(|| BadAmount::of(&document.total, &document.currency))
}

/// What a bill, a correction or a credit note posts when it is issued.
pub fn issue_entries(document: &Document) -> Result<Vec<Entry>, BadAmount> {
    let total = minor_of(&document.total, &document.currency)?;
    let is_tax = |line: &Line| matches!(line.rule, Rule::Tax { .. });
    let is_credit = |line: &Line| matches!(line.rule, Rule::Credit { .. });
    let added_tax = sum_of(document, |line| is_tax(line) && !line.informational)?;
    let held_tax = sum_of(document, |line| is_tax(line) && line.informational)?;
    let credit = sum_of(document, is_credit)?;
    let fees = sum_of(document, |line| {
        !is_tax(line) && !is_credit(line) && !line.informational
    })?;
    let lines = add(add(fees, credit, document)?, added_tax, document)?;
    let of = |account, amount| Entry { account, amount };
    let entries = [
        of(JournalAccount::Receivable, total),
        of(JournalAccount::Clearing, -total),
        of(JournalAccount::Clearing, lines),
        of(JournalAccount::Revenue, add(held_tax, -fees, document)?),
        of(JournalAccount::Credits, -credit),
        of(JournalAccount::Tax, -add(added_tax, held_tax, document)?),
    ];
    Ok(entries.into_iter().filter(|entry| entry.amount != 0).collect())
}

/// What a payment of the whole bill posts; of a note below zero, its repayment.
pub fn payment_entries(document: &Document) -> Result<Vec<Entry>, BadAmount> {
    let total = minor_of(&document.total, &document.currency)?;
    let entries = [
        Entry {
            account: JournalAccount::Cash,
            amount: total,
        },
        Entry {
            account: JournalAccount::Receivable,
            amount: -total,
        },
    ];
    Ok(entries.into_iter().filter(|entry| entry.amount != 0).collect())
}

/// What entries come to, account by account; accounts that nothing is left on are left out.
pub(super) fn by_account(
    entries: Vec<Entry>,
    document: &Document,
) -> Result<BTreeMap<String, i64>, BadAmount> {
    let mut sums = BTreeMap::new();
    for Entry { account, amount } in entries {
        let sum = sums.entry(account.name().to_owned()).or_insert(0);
        *sum = add(*sum, amount, document)?;
    }
    sums.retain(|_, sum| *sum != 0);
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdf::sample;

    #[test]
    fn amounts_are_read_and_written_exactly_or_not_at_all() {
        for (amount, currency, minor) in [
            ("12.34", "CNY", 1_234),
            ("-0.10", "CNY", -10),
            ("0.00", "CNY", 0),
            ("500", "JPY", 500),
            ("-1.234", "KWD", -1_234),
            ("92233720368547758.07", "CNY", i64::MAX),
            ("-92233720368547758.07", "CNY", -i64::MAX),
        ] {
            assert_eq!(minor_of(amount, currency), Ok(minor));
            assert_eq!(written(minor, currency), amount);
        }
        for (amount, currency) in [
            ("0.001", "CNY"),
            ("1.5", "JPY"),
            ("--1", "CNY"),
            ("", "CNY"),
            ("1", "XXX"),
            ("999999999999999999", "CNY"),
            ("92233720368547758.08", "CNY"),
            ("-92233720368547758.08", "CNY"),
        ] {
            assert!(minor_of(amount, currency).is_err(), "{amount} {currency}");
        }
    }

    #[test]
    fn sums_that_the_journal_cannot_hold_are_an_error_and_no_other_sum() {
        let most = "92233720368547758.07";
        let mut document = sample::document();
        most.clone_into(&mut document.lines[0].line.amount);
        "0.01".clone_into(&mut document.lines[1].line.amount);
        assert!(sum_of_lines(&document).is_err());
        let said = issue_entries(&document).unwrap_err().to_string();
        assert!(said.contains("not one that the books can hold"), "{said}");
        // Just within, and the same below zero: each posting has its counterpart.
        for total in [most, "-92233720368547758.07"] {
            total.clone_into(&mut document.total);
            let entries = payment_entries(&document).unwrap();
            assert_eq!(entries[0].amount, -entries[1].amount);
        }
        "-92233720368547758.08".clone_into(&mut document.total);
        assert!(payment_entries(&document).is_err());

        let entry = |amount| Entry {
            account: JournalAccount::Clearing,
            amount,
        };
        let beyond = vec![entry(i64::MAX), entry(1)];
        assert!(by_account(beyond, &document).is_err());
        let even = vec![entry(i64::MAX), entry(-i64::MAX)];
        assert_eq!(by_account(even, &document), Ok(BTreeMap::new()));
    }
}
