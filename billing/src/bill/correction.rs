//! Notes on an issued bill: a correction carries the difference, line by line, between the whole period rated anew and what
//! the bill and its corrections before came to; a credit note takes all of it back. Pure; a bill itself is never edited.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::document::{Document, DocumentLine, LineCorrection};
use super::money::{BadAmount, minor_of, written};
use super::words::change_in_words;
use crate::locale::Locale;
use crate::rating::rate::Line;
use crate::store::{KIND_CORRECTION, KIND_CREDIT};

/// What makes a line the same line on two bills: kind, name, tier, start of its part of the month.
pub(super) type Key = (&'static str, String, u32, Option<Timestamp>);

/// A difference of one line, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Of the line.
    pub name: String,
    /// What it was.
    pub before: String,
    /// What it is.
    pub after: String,
}

/// Which line it is.
pub(super) fn key_of(line: &Line) -> Key {
    (
        line.kind(),
        line.name.clone(),
        line.tier().map_or(0, |tier| tier.tier),
        line.part.as_ref().map(|part| part.start),
    )
}

/// What a bill and the notes on it come to, by line, with the latest form of each line.
fn standing_of(documents: &[Document]) -> Result<BTreeMap<Key, (i64, DocumentLine)>, BadAmount> {
    let mut standing: BTreeMap<Key, (i64, DocumentLine)> = BTreeMap::new();
    for document in documents {
        for entry in &document.lines {
            let amount = minor_of(&entry.line.amount, &document.currency)?;
            let known = standing
                .entry(key_of(&entry.line))
                .or_insert_with(|| (0, entry.clone()));
            known.0 = known.0.checked_add(amount).ok_or_else(|| overflow(document))?;
            known.1 = entry.clone();
        }
    }
    Ok(standing)
}

fn overflow(document: &Document) -> BadAmount {
    BadAmount::of(&document.total, &document.currency)
}

/// The correction that makes `billed`, the bill and its corrections so far, into `rerated`; `None` if nothing differs.
pub fn correction(rerated: Document, billed: &[Document]) -> Result<Option<Document>, BadAmount> {
    let mut before = standing_of(billed)?;
    let currency = rerated.currency.clone();
    let mut lines = Vec::new();
    for entry in &rerated.lines {
        let now = minor_of(&entry.line.amount, &currency)?;
        let was = before
            .remove(&key_of(&entry.line))
            .map_or(0, |(amount, _)| amount);
        if now != was {
            lines.push(corrected(entry, was, Some(now), &rerated)?);
        }
    }
    for (was, entry) in before.into_values().filter(|(was, _)| *was != 0) {
        lines.push(corrected(&entry, was, None, &rerated)?);
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let corrects = billed.first().and_then(|bill| bill.number.clone());
    // By whom the bill was issued, whoever issues the next one.
    let issuer = billed
        .first()
        .map_or_else(|| rerated.issuer.clone(), |bill| bill.issuer.clone());
    let note = Document {
        kind: KIND_CORRECTION.to_owned(),
        issuer,
        corrects,
        lines,
        ..rerated
    };
    with_total(note).map(Some)
}

/// The note that takes back all that `billed` comes to.
pub fn credit(billed: &[Document], reason: &str, statement: i64) -> Result<Option<Document>, BadAmount> {
    let Some(bill) = billed.first() else {
        return Ok(None);
    };
    let standing = standing_of(billed)?;
    let lines = standing
        .into_values()
        .filter(|(was, _)| *was != 0)
        .map(|(was, entry)| corrected(&entry, was, None, bill))
        .collect::<Result<_, _>>()?;
    let note = Document {
        kind: KIND_CREDIT.to_owned(),
        corrects: bill.number.clone(),
        reason: Some(reason.to_owned()),
        number: None,
        issued_at: None,
        due_on: None,
        previous_digest: None,
        digest: None,
        service: None,
        notes: Vec::new(),
        statement,
        lines,
        ..bill.clone()
    };
    with_total(note).map(Some)
}

fn with_total(note: Document) -> Result<Document, BadAmount> {
    let total = super::money::sum_of_lines(&note)?;
    let total = written(total, &note.currency);
    Ok(Document { total, ..note })
}

fn corrected(
    entry: &DocumentLine,
    was: i64,
    now: Option<i64>,
    document: &Document,
) -> Result<DocumentLine, BadAmount> {
    let currency = &document.currency;
    let difference = now
        .unwrap_or(0)
        .checked_sub(was)
        .ok_or_else(|| overflow(document))?;
    let (billed, corrected) = (written(was, currency), now.map(|now| written(now, currency)));
    let amount = written(difference, currency);
    let shown = corrected.clone().unwrap_or_else(|| written(0, currency));
    let change = [billed.clone(), shown, amount.clone()];
    let said = change_in_words(&change, currency, Locale::nearest(&document.locale));
    // What a line was before stands on the bill.
    let explanation = match &corrected {
        None => said,
        Some(_) => format!("{said} {}", entry.explanation),
    };
    Ok(DocumentLine {
        line: Line {
            amount,
            ..entry.line.clone()
        },
        explanation,
        correction: Some(LineCorrection { billed, corrected }),
    })
}

/// What differs between two states of one bill.
pub fn differences(before: &Document, after: &Document) -> Result<Vec<Difference>, BadAmount> {
    let note = correction(after.clone(), std::slice::from_ref(before))?;
    let lines = note.map_or_else(Vec::new, |note| note.lines);
    Ok(lines
        .into_iter()
        .filter_map(|entry| {
            let LineCorrection { billed, corrected } = entry.correction?;
            Some(Difference {
                name: entry.line.name,
                before: billed,
                after: corrected.unwrap_or_else(|| "-".to_owned()),
            })
        })
        .collect())
}
