//! Conditions: what is true of an object, since when, and why.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The longest message; the API server refuses longer ones.
const MAX_MESSAGE: usize = 1_024;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows yet.
    Unknown,
}

impl Holds {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// A condition as it is found now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Type of the condition.
    pub type_: &'static str,
    /// Whether it holds.
    pub holds: Holds,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// A change to this is something that somebody should look at.
    pub alarming: bool,
}

impl Finding {
    /// A condition that is good when it holds.
    pub fn good(
        type_: &'static str,
        holds: impl Into<Holds>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let holds = holds.into();
        Self {
            type_,
            holds,
            reason: reason.into(),
            message: message.into(),
            alarming: holds == Holds::False,
        }
    }

    /// A condition that is neither good nor bad.
    pub fn neutral(
        type_: &'static str,
        holds: impl Into<Holds>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            type_,
            holds: holds.into(),
            reason: reason.into(),
            message: message.into(),
            alarming: false,
        }
    }

    /// A change to this should be looked at.
    #[must_use]
    pub fn alarming(mut self, alarming: bool) -> Self {
        self.alarming = alarming;
        self
    }
}

/// The conditions after `findings`, and those findings that are news. A transition time changes only with the status.
pub fn merge(
    known: &[Condition],
    findings: Vec<Finding>,
    generation: Option<i64>,
    now: Timestamp,
) -> (Vec<Condition>, Vec<Finding>) {
    let mut news = Vec::new();
    let merged = findings.into_iter().map(|finding| {
        let before = known.iter().find(|condition| condition.type_ == finding.type_);
        let same_status = before.filter(|condition| condition.status == finding.holds.as_str());
        let condition = Condition {
            last_transition_time: same_status.map_or(Time(whole_seconds(now)), |condition| {
                condition.last_transition_time.clone()
            }),
            message: finding.message.chars().take(MAX_MESSAGE).collect(),
            observed_generation: generation,
            reason: finding.reason.clone(),
            status: finding.holds.as_str().to_owned(),
            type_: finding.type_.to_owned(),
        };
        if same_status.is_none_or(|condition| condition.reason != finding.reason) {
            news.push(finding);
        }
        condition
    });
    (merged.collect(), news)
}

/// API objects carry whole seconds: anything finer would look like a change at each comparison.
pub fn whole_seconds(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second()).unwrap_or(instant)
}

/// The condition of that type is known to hold.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    conditions
        .iter()
        .any(|condition| condition.type_ == type_ && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_changes_only_with_the_status_and_news_are_told_once() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let (first, news) = merge(
            &[],
            vec![Finding::good("Ready", true, "Ok", "all well")],
            Some(1),
            at(10),
        );
        assert_eq!(news.len(), 1);
        let (second, news) = merge(
            &first,
            vec![Finding::good("Ready", true, "Ok", "still well")],
            Some(2),
            at(20),
        );
        assert!(news.is_empty());
        assert_eq!(second[0].last_transition_time, first[0].last_transition_time);
        assert_eq!(
            (second[0].message.as_str(), second[0].observed_generation),
            ("still well", Some(2))
        );
        let (third, news) = merge(
            &second,
            vec![Finding::good("Ready", false, "Broken", "it broke")],
            Some(2),
            at(30),
        );
        assert_eq!(third[0].last_transition_time.0, at(30));
        assert!(news[0].alarming);
    }
}
