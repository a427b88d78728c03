//! What is said of an occurrence in Events while it comes nearer. Status holds what was said, so that each is said once, whoever
//! leads.

use jiff::{SignedDuration, Timestamp};

use crate::autoscale::Occurrence;

/// A moment at which it is said how many workers answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Milestone {
    /// An hour before the start.
    Hour,
    /// Half an hour before it.
    HalfHour,
    /// Ten minutes before it.
    TenMinutes,
    /// The start.
    Open,
}

impl Milestone {
    const ALL: [Self; 4] = [Self::Hour, Self::HalfHour, Self::TenMinutes, Self::Open];

    /// Its name in status.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "60m",
            Self::HalfHour => "30m",
            Self::TenMinutes => "10m",
            Self::Open => "open",
        }
    }

    fn at(self, start: Timestamp) -> Timestamp {
        let before = match self {
            Self::Hour => 60,
            Self::HalfHour => 30,
            Self::TenMinutes => 10,
            Self::Open => 0,
        };
        start
            .checked_sub(SignedDuration::from_mins(before))
            .unwrap_or(Timestamp::MIN)
    }
}

/// What is due and was not said. Of several, only the last is worth an Event: the others were missed.
pub(super) fn due(now: Timestamp, occurrence: Occurrence, announced: &[String]) -> Vec<Milestone> {
    if now >= occurrence.end {
        return Vec::new();
    }
    let said = |milestone: &Milestone| announced.iter().any(|name| name == milestone.as_str());
    Milestone::ALL
        .into_iter()
        .filter(|milestone| milestone.at(occurrence.start) <= now && !said(milestone))
        .collect()
}

/// When something is to be said next.
pub(super) fn next(now: Timestamp, occurrence: Occurrence) -> Option<Timestamp> {
    let times = Milestone::ALL.map(|milestone| milestone.at(occurrence.start));
    times.into_iter().find(|at| *at > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_milestone_is_due_from_its_time_until_it_was_said_or_all_is_over() {
        let start: Timestamp = "2026-11-10T12:00:00Z".parse().unwrap();
        let occurrence = Occurrence {
            start,
            end: start + SignedDuration::from_hours(1),
        };
        let due = |minutes: i64, said: &[&str]| {
            let said: Vec<_> = said.iter().map(|name| (*name).to_owned()).collect();
            let due = due(start - SignedDuration::from_mins(minutes), occurrence, &said);
            due.into_iter().map(Milestone::as_str).collect::<Vec<_>>()
        };
        assert!(due(61, &[]).is_empty());
        assert_eq!(due(60, &[]), ["60m"]);
        assert!(due(31, &["60m"]).is_empty());
        assert_eq!(due(20, &["60m"]), ["30m"]);
        assert_eq!(due(5, &[]), ["60m", "30m", "10m"], "it was made late");
        assert_eq!(due(-59, &["60m", "30m", "10m"]), ["open"]);
        assert!(due(-60, &[]).is_empty());
    }
}
