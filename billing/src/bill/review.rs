//! Reviews: drafts that somebody approves before they are issued, with what is striking about them. Pure.

use serde::{Deserialize, Serialize};

use super::BillError;
use super::correction::differences;
use super::document::Document;
use super::money::{BadAmount, minor_of};
use crate::rating::rate::{BadCause, Rule};
use crate::store::Review;

/// Something that a reviewer should see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Finding {
    /// There is no bill of the month before.
    FirstBill,
    /// Half as much again as the month before, or half less.
    Changed {
        /// Total of the month before.
        before: String,
        /// Total now.
        after: String,
    },
    /// Other currency than the month before.
    OtherCurrency,
    /// Nothing was counted, where something was the month before, or in the first month.
    NoUsage,
    /// Minutes of which no gateway said anything, which count as bad.
    UnreportedMinutes {
        /// How many.
        minutes: i64,
    },
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FirstBill => f.write_str("first bill"),
            Self::Changed { before, after } => write!(f, "{after} after {before} the month before"),
            Self::OtherCurrency => f.write_str("another currency than the month before"),
            Self::NoUsage => f.write_str("no usage"),
            Self::UnreportedMinutes { minutes } => write!(f, "{minutes} minutes not reported"),
        }
    }
}

/// What is striking about a draft.
pub fn findings(draft: &Document, month_before: Option<&Document>) -> Result<Vec<Finding>, BadAmount> {
    let mut findings = Vec::new();
    match month_before {
        None => findings.push(Finding::FirstBill),
        Some(before) if before.currency != draft.currency => findings.push(Finding::OtherCurrency),
        Some(before) => {
            let was = minor_of(&before.total, &before.currency)?;
            let is = minor_of(&draft.total, &draft.currency)?;
            // In wider integers, so that nothing overflows.
            let change = (i128::from(is) - i128::from(was)).abs();
            if change > 0 && change * 2 >= i128::from(was).abs() {
                findings.push(Finding::Changed {
                    before: before.total.clone(),
                    after: draft.total.clone(),
                });
            }
        }
    }
    if !has_usage(draft) && month_before.is_none_or(has_usage) {
        findings.push(Finding::NoUsage);
    }
    let slices = draft.service.iter().filter_map(|service| service.slices.as_ref());
    let unreported = slices
        .flat_map(|slices| &slices.bad)
        .filter(|bad| bad.cause == BadCause::NotReported);
    let minutes: i64 = unreported
        .map(|bad| (bad.to.as_second() - bad.from.as_second()) / 60)
        .sum();
    if minutes > 0 {
        findings.push(Finding::UnreportedMinutes { minutes });
    }
    Ok(findings)
}

fn has_usage(document: &Document) -> bool {
    let mut counted = document.lines.iter().filter_map(|entry| match &entry.line.rule {
        Rule::Charge { counted, .. } => Some(counted),
        _ => None,
    });
    counted.any(|counted| !counted.is_zero())
}

/// Digest of what is approved: the draft but for the number of the open statement, which also counts on when another
/// month's bill is issued.
pub fn digest_of(draft: &Document) -> (String, String) {
    let draft = Document {
        statement: 0,
        ..draft.clone()
    };
    draft.sealed()
}

/// The draft is what was reviewed; or what differs.
pub fn compare(reviewed: &Review, draft: &Document) -> Result<(), BillError> {
    let (_, digest) = digest_of(draft);
    if digest == reviewed.digest {
        return Ok(());
    }
    let before: Document =
        serde_json::from_str(&reviewed.document).map_err(|source| BillError::Document {
            number: format!("in review for {}", draft.tenant),
            source,
        })?;
    let lines = differences(&before, draft)?;
    let changes = if lines.is_empty() {
        "no amount differs, but what is said on it does".to_owned()
    } else {
        let shown = lines
            .iter()
            .map(|line| format!("{} {} instead of {}", line.name, line.after, line.before));
        shown.collect::<Vec<_>>().join(", ")
    };
    Err(BillError::ReviewMoved {
        tenant: draft.tenant.clone(),
        changes,
    })
}
