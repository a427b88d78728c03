//! Bills as FOCUS 1.2, the common form of cost data: a row for each line that is part of the total, so that the sum of
//! `BilledCost` is the bill's total. An empty field is a null.

use jiff::Timestamp;

use super::harmless;
use crate::bill::document::{Document, DocumentLine};
use crate::bill::words::line_title;
use crate::locale::Locale;
use crate::rating::rate::{Line, LinePrice, Rule};
use crate::store::KIND_REGULAR;

/// All mandatory columns of FOCUS 1.2, and those that bills can fill.
pub const COLUMNS: [&str; 35] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingCurrency",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "SubAccountId",
];

/// The bills' rows, with the header.
pub fn focus_csv(documents: &[Document]) -> Vec<u8> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    // Writing to memory does not fail.
    let _ = rows.write_record(COLUMNS);
    for document in documents {
        for DocumentLine {
            line, explanation, ..
        } in document.lines.iter().filter(|line| !line.line.informational)
        {
            let cells = COLUMNS.map(|column| cell(column, document, line, explanation));
            let _ = rows.write_record(cells);
        }
    }
    rows.into_inner().unwrap_or_default()
}

fn cell(column: &str, document: &Document, line: &Line, explanation: &str) -> String {
    let is_metered = matches!(line.rule, Rule::Charge { .. } | Rule::Surcharge { .. });
    let unit = unit_of(&line.rule);
    let when_metered = |text: String| if is_metered { text } else { String::new() };
    let is_correction = document.kind != KIND_REGULAR;
    // A correction bills a difference of costs: its usage was billed before, and would count twice.
    let quantity = || {
        let quantity = line
            .quantity
            .map_or_else(|| "1".to_owned(), |quantity| quantity.to_string());
        if is_correction { String::new() } else { quantity }
    };
    // Units that were used are those of charges; surcharges price some of the same.
    let consumed = |text: String| {
        let is_charge = matches!(line.rule, Rule::Charge { .. });
        if is_charge && !is_correction {
            text
        } else {
            String::new()
        }
    };
    let part = line.part.as_ref();
    let plan = document.plan_behind(line);
    let generation = plan.map_or(0, |plan| plan.generation);
    let plan = plan.map(|plan| plan.name.as_str()).unwrap_or_default();
    match column {
        // No commitment is paid ahead, and discounts are rows of their own: all costs of a row are what it bills.
        "BilledCost" | "EffectiveCost" | "ContractedCost" | "ListCost" => line.amount.clone(),
        "BillingAccountId" | "SubAccountId" => document.tenant_uid.clone(),
        "BillingAccountName" => harmless(&document.legal_name),
        "BillingAccountType" => "Tenant".to_owned(),
        "BillingCurrency" | "PricingCurrency" => document.currency.clone(),
        "BillingPeriodStart" => instant(document.period_start),
        "BillingPeriodEnd" => instant(document.period_end),
        "ChargePeriodStart" => instant(part.map_or(document.period_start, |part| part.start)),
        "ChargePeriodEnd" => instant(part.map_or(document.period_end, |part| part.end)),
        "ChargeCategory" => category(&line.rule).to_owned(),
        "ChargeClass" if is_correction => "Correction".to_owned(),
        "ChargeDescription" => harmless(explanation),
        "ChargeFrequency" => frequency(&line.rule).to_owned(),
        "ConsumedQuantity" => consumed(consumed_quantity(line)),
        "ConsumedUnit" => consumed(unit.to_owned()),
        "SkuMeter" => when_metered(unit.to_owned()),
        "ContractedUnitPrice" | "ListUnitPrice" => {
            line.unit_price.map(|price| price.to_string()).unwrap_or_default()
        }
        "InvoiceId" => document.number.clone().unwrap_or_default(),
        "InvoiceIssuerName" | "ProviderName" | "PublisherName" => harmless(&document.issuer.legal_name),
        "PricingCategory" => when_metered("Standard".to_owned()),
        "PricingQuantity" if priced(&line.rule) => quantity(),
        "PricingUnit" if priced(&line.rule) => pricing_unit(&line.rule, unit),
        "ServiceCategory" => "AI and Machine Learning".to_owned(),
        "ServiceSubcategory" => "Bots".to_owned(),
        "ServiceName" => "Customer service".to_owned(),
        "SkuId" if priced(&line.rule) => harmless(&format!("{plan}/{}", line.name)),
        "SkuPriceId" if priced(&line.rule) => harmless(&format!(
            "{plan}/{generation}/{}/{}",
            line_title(line, Locale::En),
            line.tier().map_or(0, |tier| tier.tier)
        )),
        _ => String::new(),
    }
}

/// Units that a charge's line prices, whatever they are priced by.
fn consumed_quantity(line: &Line) -> String {
    match &line.rule {
        Rule::Charge {
            billable,
            price: LinePrice::Package { .. },
            ..
        } => billable.to_string(),
        _ => line
            .quantity
            .map(|quantity| quantity.to_string())
            .unwrap_or_default(),
    }
}

/// By what a line is priced.
fn pricing_unit(rule: &Rule, unit: &str) -> String {
    match rule {
        Rule::Charge {
            price: LinePrice::Package { size },
            ..
        } => format!("{size} {unit}"),
        _ => unit.to_owned(),
    }
}

/// FOCUS wants seconds in UTC.
fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn priced(rule: &Rule) -> bool {
    matches!(category(rule), "Usage" | "Purchase")
}

fn category(rule: &Rule) -> &'static str {
    match rule {
        Rule::Charge { .. } | Rule::Surcharge { .. } => "Usage",
        Rule::Module { .. } | Rule::Minimum { .. } => "Purchase",
        Rule::Discount { .. } | Rule::Cap { .. } => "Adjustment",
        Rule::Credit { .. } => "Credit",
        Rule::Tax { .. } => "Tax",
    }
}

fn frequency(rule: &Rule) -> &'static str {
    match rule {
        Rule::Charge { .. } | Rule::Surcharge { .. } => "Usage-Based",
        Rule::Module { .. } | Rule::Minimum { .. } => "Recurring",
        Rule::Discount { .. } | Rule::Cap { .. } | Rule::Credit { .. } | Rule::Tax { .. } => "One-Time",
    }
}

fn unit_of(rule: &Rule) -> &str {
    match rule {
        Rule::Charge { meter, .. } | Rule::Surcharge { meter, .. } => meter,
        _ => "Months",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdf::sample::document;
    use crate::rating::number::Exact;

    const MANDATORY: [&str; 21] = [
        "BilledCost",
        "BillingAccountId",
        "BillingAccountName",
        "BillingCurrency",
        "BillingPeriodEnd",
        "BillingPeriodStart",
        "ChargeCategory",
        "ChargeClass",
        "ChargeDescription",
        "ChargePeriodEnd",
        "ChargePeriodStart",
        "ContractedCost",
        "EffectiveCost",
        "InvoiceIssuerName",
        "ListCost",
        "PricingQuantity",
        "PricingUnit",
        "ProviderName",
        "PublisherName",
        "ServiceCategory",
        "ServiceName",
    ];

    #[test]
    fn all_mandatory_columns_are_there_and_billed_costs_add_up_to_the_bill() {
        let document = document();
        let bytes = focus_csv(std::slice::from_ref(&document));
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let header = reader.headers().unwrap().clone();
        for column in MANDATORY {
            assert!(header.iter().any(|name| name == column), "{column}");
        }
        let place = |name: &str| header.iter().position(|known| known == name).unwrap();
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        let sum = |column: &str| {
            let amounts = rows.iter().map(|row| Exact::parse_signed(&row[place(column)]));
            amounts.fold(Exact::ZERO, |sum, amount| sum.plus(amount).unwrap())
        };
        let total = Exact::parse_signed(&document.total);
        for column in ["BilledCost", "EffectiveCost", "ListCost", "ContractedCost"] {
            assert_eq!(
                sum(column).compare(total).unwrap(),
                std::cmp::Ordering::Equal,
                "{column}"
            );
        }
        for row in &rows {
            assert_eq!(&row[place("InvoiceId")], "SPT-2026-000042");
            assert_eq!(&row[place("BillingPeriodStart")], "2026-09-30T16:00:00Z");
            let is_priced = ["Usage", "Purchase"].contains(&&row[place("ChargeCategory")]);
            assert_eq!(is_priced, !row[place("PricingQuantity")].is_empty(), "{row:?}");
        }
        let categories: std::collections::BTreeSet<_> = rows
            .iter()
            .map(|row| row[place("ChargeCategory")].to_owned())
            .collect();
        assert!(
            categories.contains("Usage") && categories.contains("Tax") && categories.contains("Credit"),
            "{categories:?}"
        );
    }

    impl Exact {
        fn parse_signed(text: &str) -> Self {
            match text.strip_prefix('-') {
                Some(digits) => Self::ZERO.minus(Self::parse(digits).unwrap()).unwrap(),
                None => Self::parse(text).unwrap(),
            }
        }
    }
}
