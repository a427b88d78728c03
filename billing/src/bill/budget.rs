//! A client firm's budget of a month: how much of it is used, how much will be, and which of its thresholds that reaches.
//! Also what one answer by a person costs, which savings are counted by. Both are settings of the portal.

use std::collections::BTreeMap;

use crate::rating::currency::Currency;
use crate::rating::number::Exact;

/// Name of the setting that holds the amount.
pub const BUDGET: &str = "budget";
/// Name of the setting that holds the thresholds.
pub const THRESHOLDS: &str = "budget_thresholds";
/// Name of the setting that holds the price of one answer by a person.
pub const PERSON_PRICE: &str = "person_price";
const DEFAULT_THRESHOLDS: &str = "50,80,100";
const MOST_THRESHOLDS: usize = 5;
const HIGHEST_THRESHOLD: u32 = 200;

/// What people are commonly taken to cost for one answer, by currency.
const PERSON_PRICES: [(&str, &str); 8] = [
    ("CNY", "3.00"),
    ("HKD", "3.30"),
    ("USD", "0.42"),
    ("EUR", "0.39"),
    ("GBP", "0.33"),
    ("SGD", "0.55"),
    ("JPY", "62"),
    ("KRW", "580"),
];

/// A budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Of a month, in the plan's currency.
    pub amount: Exact,
    /// Percentages at which somebody wants to be told, rising.
    pub thresholds: Vec<u32>,
}

/// Where a threshold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The bill is there.
    Reached,
    /// The forecast is there.
    Expected,
    /// Neither.
    Clear,
}

impl Budget {
    /// The budget that the settings hold, if they hold one.
    pub fn of_settings(settings: &BTreeMap<String, String>) -> Option<Self> {
        let amount = Exact::parse(settings.get(BUDGET)?)
            .ok()
            .filter(|amount| !amount.is_zero())?;
        let thresholds = settings
            .get(THRESHOLDS)
            .map_or(DEFAULT_THRESHOLDS, String::as_str);
        Some(Self {
            amount,
            thresholds: parse_thresholds(thresholds)?,
        })
    }

    /// Whole percent of it that `total` is, rounded down; an amount below zero is nothing.
    pub fn percent(&self, total: Exact) -> u32 {
        let hundredfold = total
            .times(Exact::from_count(100))
            .ok()
            .filter(|total| !total.is_negative());
        let tenths = hundredfold.and_then(|total| total.quotient_rounded(self.amount, 3).ok());
        tenths
            .and_then(|thousandths| u32::try_from(thousandths / 1000).ok())
            .unwrap_or_default()
    }

    /// Each threshold, and whether it is reached by the bill so far or by the forecast.
    pub fn alerts(&self, total: Exact, forecast: Option<Exact>) -> Vec<(u32, Reach)> {
        let (used, expected) = (
            self.percent(total),
            forecast.map_or(0, |forecast| self.percent(forecast)),
        );
        let reach = |threshold: u32| match threshold {
            threshold if used >= threshold => Reach::Reached,
            threshold if expected >= threshold => Reach::Expected,
            _ => Reach::Clear,
        };
        self.thresholds
            .iter()
            .map(|threshold| (*threshold, reach(*threshold)))
            .collect()
    }
}

/// One to five rising whole percentages.
pub fn parse_thresholds(text: &str) -> Option<Vec<u32>> {
    let parsed: Result<Vec<u32>, _> = text
        .split([',', '，'])
        .map(|part| part.trim().trim_end_matches('%').parse())
        .collect();
    let mut thresholds = parsed.ok()?;
    thresholds.sort_unstable();
    thresholds.dedup();
    let are_sane = thresholds.len() <= MOST_THRESHOLDS
        && thresholds
            .iter()
            .all(|percent| (1..=HIGHEST_THRESHOLD).contains(percent));
    are_sane.then_some(thresholds)
}

/// An amount that somebody typed, of no more digits than the currency has, and not nothing.
pub fn parse_amount(text: &str, currency: Currency) -> Option<Exact> {
    let amount = Exact::parse(&text.trim().replace([',', '，'], "")).ok()?;
    let has_too_many_digits = amount
        .rounded(currency.exponent())
        .ok()
        .map(|minor| currency.amount(minor))
        != Some(amount);
    (!has_too_many_digits && !amount.is_zero()).then_some(amount)
}

/// What one answer by a person costs, and whether the firm said so itself; `None` where nothing is known.
pub fn person_price(settings: &BTreeMap<String, String>, currency: &str) -> Option<(Exact, bool)> {
    if let Some(own) = settings
        .get(PERSON_PRICE)
        .and_then(|text| Exact::parse(text).ok())
    {
        return Some((own, true));
    }
    let (_, common) = PERSON_PRICES.iter().find(|(code, _)| *code == currency)?;
    Exact::parse(common).ok().map(|price| (price, false))
}

/// A document's amount, which may be below zero.
pub fn amount_of(text: &str) -> Option<Exact> {
    match text.strip_prefix('-') {
        Some(digits) => Exact::ZERO.minus(Exact::parse(digits).ok()?).ok(),
        None => Exact::parse(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_threshold_is_reached_by_the_bill_expected_by_the_forecast_or_clear() {
        let budget = Budget::of_settings(&settings(&[(BUDGET, "1000.00")])).unwrap();
        let total = Exact::parse("799.99").unwrap();
        assert_eq!(
            budget.percent(total),
            79,
            "rounded down: what is not reached is not said to be"
        );
        let alerts = budget.alerts(total, Exact::parse("800").ok());
        assert_eq!(
            alerts,
            [(50, Reach::Reached), (80, Reach::Expected), (100, Reach::Clear)]
        );
        assert_eq!(budget.percent(amount_of("-5.00").unwrap()), 0);
    }

    #[test]
    fn what_is_no_amount_or_threshold_is_refused() {
        let cny = Currency::from_code("CNY").unwrap();
        assert_eq!(parse_amount(" 1,000.50 ", cny), Exact::parse("1000.5").ok());
        for wrong in ["", "0", "-1", "1.005", "1e3", "abc"] {
            assert_eq!(parse_amount(wrong, cny), None, "{wrong}");
        }
        assert_eq!(parse_thresholds("100, 50%,80"), Some(vec![50, 80, 100]));
        for wrong in ["", "0", "201", "1,2,3,4,5,6", "a"] {
            assert_eq!(parse_thresholds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_person_costs_what_the_firm_says_or_what_is_common_in_its_currency() {
        assert_eq!(
            person_price(&settings(&[]), "CNY"),
            Some((Exact::new(3, 0), false))
        );
        assert_eq!(
            person_price(&settings(&[(PERSON_PRICE, "4.5")]), "CNY"),
            Some((Exact::new(45, 1), true))
        );
        assert_eq!(person_price(&settings(&[]), "KWD"), None);
    }
}
