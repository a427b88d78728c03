//! What the ratings of a span of time come to, in exact decimals. Pure but for [`satisfaction_within`].

use std::collections::BTreeMap;

use serde_json::{Value, json};
use springtide_proto::rated::{METER_RATINGS, Score};

use crate::bill::summary::summed_by_time;
use crate::metering::decide::LedgerId;
use crate::rating::number::{Exact, Overflow};
use crate::rating::period::Bounds;
use crate::rating::rate::Usage;
use crate::store::{Landed, Store, StoreError};

/// Digits after the point of a mean.
const MEAN_DIGITS: u32 = 2;
/// Digits after the point of a percentage.
const PERCENT_DIGITS: u32 = 1;

/// How many ratings there are of each score.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ratings(BTreeMap<Score, Exact>);

/// Ratings of a span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Satisfaction {
    /// Of all pools.
    pub all: Ratings,
    /// Of each.
    pub pools: BTreeMap<String, Ratings>,
}

impl Ratings {
    fn add(&mut self, score: Score, quantity: Exact) -> Result<(), Overflow> {
        let sum = self.0.entry(score).or_insert(Exact::ZERO);
        *sum = sum.plus(quantity)?;
        Ok(())
    }

    /// Of one score.
    pub fn of(&self, score: Score) -> Exact {
        self.0.get(&score).copied().unwrap_or(Exact::ZERO)
    }

    /// Of all scores.
    pub fn count(&self) -> Result<Exact, Overflow> {
        self.0.values().try_fold(Exact::ZERO, |sum, more| sum.plus(*more))
    }

    /// The mean score, as "4.25", rounded once, half up; `None` without ratings.
    pub fn mean(&self) -> Result<Option<Exact>, Overflow> {
        let mut weighed = self.0.iter().map(|(score, quantity)| {
            let score = Exact::from_count(score.number().into());
            quantity.times(score)
        });
        let sum = weighed.try_fold(Exact::ZERO, |sum, more| sum.plus(more?))?;
        self.over_count(sum, MEAN_DIGITS)
    }

    /// CSAT: percent of the ratings whose score is 4 or 5, as "83.3", rounded once, half up; `None` without ratings.
    pub fn csat(&self) -> Result<Option<Exact>, Overflow> {
        let mut good = self.0.iter().filter(|(score, _)| score.is_good());
        let good = good.try_fold(Exact::ZERO, |sum, (_, more)| sum.plus(*more))?;
        self.percent(good)
    }

    /// Percent of all ratings that so many are; `None` without ratings.
    pub fn percent(&self, of_them: Exact) -> Result<Option<Exact>, Overflow> {
        self.over_count(of_them.times(Exact::from_count(100))?, PERCENT_DIGITS)
    }

    fn over_count(&self, sum: Exact, digits: u32) -> Result<Option<Exact>, Overflow> {
        let count = self.count()?;
        if count.is_zero() || count.is_negative() {
            return Ok(None);
        }
        let rounded = sum.quotient_rounded(count, digits)?;
        Ok(Some(Exact::new(rounded, digits)))
    }

    /// As programs read it: decimals as texts.
    pub fn to_json(&self) -> Result<Value, Overflow> {
        let scores = Score::ALL.map(|score| (score.to_string(), json!(self.of(score).to_string())));
        let padded = |figure: Option<Exact>, digits: u32| figure.map(|figure| figure.padded(digits as usize));
        Ok(json!({
            "ratings": self.count()?.to_string(),
            "mean": padded(self.mean()?, MEAN_DIGITS),
            "csat": padded(self.csat()?, PERCENT_DIGITS),
            "scores": serde_json::Map::from_iter(scores),
        }))
    }
}

/// Of usage: of whatever else is in it nothing is said.
pub fn satisfaction_of(usage: &[Usage]) -> Result<Satisfaction, Overflow> {
    let mut satisfaction = Satisfaction::default();
    for used in usage.iter().filter(|used| used.meter == METER_RATINGS) {
        let dimension = |key: &str| used.dimensions.get(key).map(String::as_str);
        let Some(score) = dimension("score").and_then(|score| Score::parse(score).ok()) else {
            continue;
        };
        satisfaction.all.add(score, used.quantity)?;
        let pool = dimension("pool").unwrap_or_default().to_owned();
        let of_pool = satisfaction.pools.entry(pool).or_default();
        of_pool.add(score, used.quantity)?;
    }
    Ok(satisfaction)
}

/// Of the ratings of a ledger within these bounds, as they count by now.
pub async fn satisfaction_within(
    store: &Store,
    ledger: LedgerId,
    bounds: &Bounds,
) -> Result<Satisfaction, StoreError> {
    let whole = (&[bounds.start][..], bounds.end);
    let usage = summed_by_time(store, ledger, whole, Landed::EVER).await?;
    Ok(satisfaction_of(&usage)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rated(pool: &str, score: &str, quantity: i128) -> Usage {
        let dimensions = [("channel", "web"), ("pool", pool), ("score", score)];
        Usage {
            bucket_start: "2026-11-01T00:00:00Z".parse().unwrap(),
            meter: METER_RATINGS.into(),
            dimensions: dimensions
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            quantity: Exact::new(quantity, 0),
        }
    }

    #[test]
    fn csat_is_the_share_of_scores_of_four_and_five_and_all_figures_are_exact() {
        let other = Usage {
            meter: "interactions".into(),
            ..rated("web", "5", 1_000)
        };
        let usage = [
            rated("web", "5", 3),
            rated("web", "4", 2),
            rated("web", "3", 1),
            rated("app", "1", 2),
            rated("app", "2", 1),
            rated("app", "2", -1),
            other,
        ];
        let satisfaction = satisfaction_of(&usage).unwrap();
        assert_eq!(
            satisfaction.all.to_json().unwrap(),
            json!({"ratings": "8", "mean": "3.50", "csat": "62.5",
                "scores": {"1": "2", "2": "0", "3": "1", "4": "2", "5": "3"}})
        );
        let of = |pool: &str| satisfaction.pools[pool].to_json().unwrap();
        assert_eq!(
            (of("web")["mean"].clone(), of("web")["csat"].clone()),
            (json!("4.33"), json!("83.3"))
        );
        assert_eq!(
            (of("app")["mean"].clone(), of("app")["csat"].clone()),
            (json!("1.00"), json!("0.0"))
        );
    }

    #[test]
    fn without_ratings_there_are_no_figures() {
        for usage in [vec![], vec![rated("web", "5", 1), rated("web", "5", -1)]] {
            let all = satisfaction_of(&usage).unwrap().all;
            let said = all.to_json().unwrap();
            assert_eq!(
                (&said["ratings"], &said["mean"], &said["csat"]),
                (&json!("0"), &Value::Null, &Value::Null)
            );
        }
    }
}
