//! A bill as people and machines read it: JSON. Its digest is the SHA-256 of its canonical JSON without the digest.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::plans::{PlanPart, PlansInPeriod};
use crate::digest::{Digest, canonical_json};
use crate::locale::Locale;
use crate::rating::currency::Currency;
use crate::rating::explain::{Explanation, Style, explain, service_sentence};
use crate::rating::number::Exact;
use crate::rating::period::{Bounds, Period, zone_data_version, zone_named};
use crate::rating::rate::{Line, Rated, ServiceOutcome};
use crate::store::{AccountDetails, KIND_REGULAR, LegalEntity};

/// Whether a bill stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// What it would be now.
    Draft,
    /// For ever.
    Issued,
}

/// What a document is to whom it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A month's bill.
    Invoice,
    /// A note on a bill, by which less is owed.
    CreditNote,
    /// A note on a bill, by which more is owed, or the same.
    DebitNote,
}

/// Who issues a bill, by law.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DocumentIssuer {
    /// Which legal entity.
    pub entity: String,
    /// Its name by law.
    pub legal_name: String,
    /// Its tax number; may be empty.
    pub tax_id: String,
    /// In one line; may be empty.
    pub address: String,
}

impl From<&LegalEntity> for DocumentIssuer {
    fn from(entity: &LegalEntity) -> Self {
        let LegalEntity {
            name,
            prefix: _,
            legal_name,
            tax_id,
            address,
        } = entity.clone();
        Self {
            entity: name,
            legal_name,
            tax_id,
            address,
        }
    }
}

impl Default for DocumentIssuer {
    fn default() -> Self {
        Self::from(&LegalEntity::default())
    }
}

impl DocumentIssuer {
    /// In one line.
    pub fn for_people(&self) -> String {
        let parts = [&self.legal_name, &self.tax_id, &self.address];
        let parts: Vec<_> = parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(String::as_str)
            .collect();
        parts.join(" · ")
    }
}

/// A bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// Whether it stands.
    pub state: State,
    /// As "SPT-2026-000001", once issued.
    pub number: Option<String>,
    /// "regular", "correction" or "credit".
    pub kind: String,
    /// Number of the bill that a correction or credit note refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<String>,
    /// Why a credit note was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who issues it.
    #[serde(default)]
    pub issuer: DocumentIssuer,
    /// Who pays.
    pub tenant: String,
    /// Identity of the tenant over time.
    pub tenant_uid: String,
    /// For people.
    pub display_name: String,
    /// Who pays, by law.
    pub legal_name: String,
    /// Tax number.
    pub tax_id: String,
    /// Where the bill goes.
    pub billing_email: String,
    /// As "2026-11".
    pub period: String,
    /// First instant of it.
    pub period_start: Timestamp,
    /// First instant after it.
    pub period_end: Timestamp,
    /// Zone of the plan; of several, of the last.
    pub time_zone: String,
    /// Version of the time-zone data by which the period's bounds were computed.
    pub time_zone_data: String,
    /// The plan; several where it was changed within the period, in the order of time.
    pub plans: Vec<PlanReference>,
    /// ISO code.
    pub currency: String,
    /// Language of the explanations.
    pub locale: String,
    /// What is charged.
    pub lines: Vec<DocumentLine>,
    /// Sum of the lines that are not informational.
    pub total: String,
    /// How the service was, with the times that were bad; absent where no minutes were reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceOutcome>,
    /// What else is to be said, in the bill's language.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The statement up to which usage landed on it.
    pub statement: i64,
    /// When it was issued.
    pub issued_at: Option<Timestamp>,
    /// Until when it is to be paid.
    pub due_on: Option<Date>,
    /// Digest of the bill before it, of whichever tenant; empty for the first. Once issued.
    pub previous_digest: Option<String>,
    /// Of this bill; once issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Which version of a plan, and what of the period it prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanReference {
    /// Name of the RatePlan object.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// Of its canonical JSON.
    pub digest: String,
    /// Its zone.
    pub time_zone: String,
    /// First instant that it prices.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
}

impl PlanReference {
    /// What it prices.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            start: self.from,
            end: self.to,
        }
    }

    /// First and last local date that it prices.
    pub fn dates(&self) -> Option<(Date, Date)> {
        let zone = zone_named(&self.time_zone)?;
        let last = self.to.checked_sub(SignedDuration::from_nanos(1)).ok()?;
        Some((zone.to_datetime(self.from).date(), zone.to_datetime(last).date()))
    }
}

/// A line with its explanation in the bill's language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentLine {
    /// All that went into it.
    #[serde(flatten)]
    pub line: Line,
    /// In words: quantity, rule, arithmetic.
    pub explanation: String,
    /// On a correction or credit note, whose amounts are differences: from what to what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<LineCorrection>,
}

impl DocumentLine {
    /// It prices something; on a note a line may be gone.
    pub fn is_there(&self) -> bool {
        self.correction
            .as_ref()
            .is_none_or(|correction| correction.corrected.is_some())
    }
}

/// What a line of a note corrects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineCorrection {
    /// What the bill and its corrections before came to.
    pub billed: String,
    /// What it comes to now; absent: there is no such line any more.
    pub corrected: Option<String>,
}

impl Document {
    /// A draft.
    pub fn draft(
        details: &AccountDetails,
        plans: &PlansInPeriod,
        period: Period,
        rated: Rated,
        statement: i64,
    ) -> Self {
        let plan = &plans.last().plan;
        let currency = plan.currency;
        let locale = details.locale;
        let references: Vec<_> = plans.parts().map(PlanPart::reference).collect();
        let explained = |line: Line| {
            let zone = plan_behind(&references, &line).and_then(|plan| zone_named(&plan.time_zone));
            let style = Style {
                currency,
                zone: zone.unwrap_or_else(|| plan.zone.clone()),
                locale,
            };
            let explanation = explain(&line, &style).sentence(locale);
            DocumentLine {
                line,
                explanation,
                correction: None,
            }
        };
        let Rated {
            lines,
            total,
            service,
        } = rated;
        let notes = service
            .iter()
            .filter_map(|outcome| service_sentence(outcome, locale));
        Self {
            state: State::Draft,
            number: None,
            kind: KIND_REGULAR.to_owned(),
            corrects: None,
            reason: None,
            issuer: DocumentIssuer::default(),
            tenant: details.party.tenant.to_string(),
            tenant_uid: details.party.tenant_uid.to_string(),
            display_name: details.display_name.clone(),
            legal_name: details.legal_name.clone(),
            tax_id: details.tax_id.clone(),
            billing_email: details.billing_email.clone(),
            period: period.to_string(),
            period_start: plans.bounds.start,
            period_end: plans.bounds.end,
            time_zone: plan.zone_name.clone(),
            time_zone_data: zone_data_version().to_owned(),
            currency: currency.code().to_owned(),
            locale: locale.tag().to_owned(),
            notes: notes.collect(),
            lines: lines.into_iter().map(explained).collect(),
            plans: references,
            total: currency.amount(total).padded(currency.decimals()),
            service,
            statement,
            issued_at: None,
            due_on: None,
            previous_digest: None,
            digest: None,
        }
    }

    /// The bill that the draft becomes.
    #[must_use]
    pub fn issued(
        self,
        number: String,
        at: Timestamp,
        due_on: Option<Date>,
        previous_digest: String,
    ) -> Self {
        Self {
            state: State::Issued,
            number: Some(number),
            issued_at: Some(at),
            due_on,
            previous_digest: Some(previous_digest),
            ..self
        }
    }

    /// Its canonical JSON without the digest, and the digest of that.
    pub fn sealed(&self) -> (String, String) {
        let open = Self {
            digest: None,
            ..self.clone()
        };
        let text = canonical_json(&open.to_json());
        let digest = Digest::of(text.as_bytes()).to_string();
        (text, digest)
    }

    /// As JSON.
    pub fn to_json(&self) -> serde_json::Value {
        // Strings, integers, lists and objects with string keys: nothing that JSON could not hold.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// An amount of it for people: "1,000.00".
    pub fn amount_for_people(&self, amount: &str) -> String {
        let decimals = Currency::from_code(&self.currency).map_or(0, Currency::decimals);
        let (sign, digits) = amount.strip_prefix('-').map_or(("", amount), |rest| ("−", rest));
        Exact::parse(digits).map_or_else(
            |_| amount.to_owned(),
            |exact| format!("{sign}{}", exact.grouped(decimals)),
        )
    }

    /// A line in the words of any language. On a note they are of what the line comes to now, not of the difference; of a
    /// line that is gone there are none.
    pub fn explain(&self, entry: &DocumentLine, locale: Locale) -> Option<Explanation> {
        let DocumentLine { line, correction, .. } = entry;
        let style = Style {
            currency: Currency::from_code(&self.currency)?,
            zone: zone_named(&self.plan_behind(line)?.time_zone)?,
            locale,
        };
        let Some(correction) = correction else {
            return Some(explain(line, &style));
        };
        let now = Line {
            amount: correction.corrected.clone()?,
            ..line.clone()
        };
        Some(explain(&now, &style))
    }

    /// What it is to whom it comes.
    pub fn sort(&self) -> Sort {
        match (&self.corrects, self.is_in_favour()) {
            (None, _) => Sort::Invoice,
            (Some(_), true) => Sort::CreditNote,
            (Some(_), false) => Sort::DebitNote,
        }
    }

    /// Nothing of it is to be paid: it is the client's.
    pub fn is_in_favour(&self) -> bool {
        self.total.starts_with('-')
    }

    /// By which plan a line is priced.
    pub fn plan_behind(&self, line: &Line) -> Option<&PlanReference> {
        plan_behind(&self.plans, line)
    }
}

/// Of a line that is of no part the last: it prices the whole period, or what is computed over the whole bill.
fn plan_behind<'a>(plans: &'a [PlanReference], line: &Line) -> Option<&'a PlanReference> {
    let start = line.part.as_ref().map(|part| part.start);
    let has_it = |plan: &&PlanReference| start.is_some_and(|start| plan.bounds().contain(start));
    plans.iter().find(has_it).or(plans.last())
}
