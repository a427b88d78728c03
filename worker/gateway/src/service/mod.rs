//! The service that customers got, minute by minute: what service levels are computed from.
//!
//! A turn belongs to the minute in which it reached the door. It is *good* when it was answered within the time-out; *bad* when
//! we timed out, failed, refused or had no room for it; neither when the fault is the client's own (every 4xx), when it goes on
//! waiting (its sender asks again), when the tenant has all the workers that its contract gives it, or when it is synthetic. A
//! good turn is *fast* or *slow* by the time from the door to the reply, against the response time that was aimed at.
//!
//! A minute is reported once, after the last of its turns must have ended, also when it is empty: a minute that nobody reports
//! is one in which nobody served. [`book`] decides which minutes those are; [`keep`] writes them to the spool and reports them.

pub mod book;
pub mod keep;

use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::ids::PoolId;
use springtide_runtime::spool::minutes::SpooledMinute;

use crate::relay::Relayed;
use book::Book;

/// How the service took a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// Answered, within the response time that was aimed at.
    Fast,
    /// Answered, later than that.
    Slow,
    /// Not answered, by our fault.
    Bad,
}

/// What this gateway counts; shared by the relay and the task that keeps it.
#[derive(Debug)]
pub struct ServiceMinutes {
    book: Mutex<Book>,
    answer_within: Duration,
}

impl ServiceMinutes {
    /// Counts nothing yet. Answers after `answer_within` are slow.
    pub fn new(book: Book, answer_within: Duration) -> Self {
        Self {
            book: Mutex::new(book),
            answer_within,
        }
    }

    /// A turn of `pool` that came at `arrived_at` ended after `took`.
    pub fn count(
        &self,
        pool: &PoolId,
        arrived_at: Timestamp,
        outcome: &Result<Relayed, ApiError>,
        took: Duration,
        at_contract_limit: bool,
    ) {
        if let Some(served) = judge(outcome, took <= self.answer_within, at_contract_limit) {
            self.book.lock().count(pool, arrived_at, served);
        }
    }

    /// What was counted and is not in the spool yet.
    pub fn unkept(&self) -> Vec<SpooledMinute> {
        self.book.lock().unkept()
    }

    fn book<T>(&self, look: impl FnOnce(&mut Book) -> T) -> T {
        look(&mut self.book.lock())
    }
}

/// How the service took a turn; `None` if it is no matter of service.
pub fn judge(outcome: &Result<Relayed, ApiError>, in_time: bool, at_contract_limit: bool) -> Option<Served> {
    match outcome {
        Ok(Relayed::Replied(_)) if in_time => Some(Served::Fast),
        Ok(Relayed::Replied(_)) => Some(Served::Slow),
        Ok(Relayed::Waiting(_)) => None,
        Err(error) => is_our_fault(error.reason, at_contract_limit).then_some(Served::Bad),
    }
}

fn is_our_fault(reason: Reason, at_contract_limit: bool) -> bool {
    match reason {
        Reason::WaitingRoomFull => !at_contract_limit,
        other => other.http_status() >= 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Place;

    #[test]
    fn every_reason_is_ours_or_the_clients_by_its_status_and_a_full_room_by_the_contract() {
        for reason in Reason::ALL {
            let outcome = Err(ApiError::new(*reason, "x"));
            let ours = (reason.http_status() >= 500).then_some(Served::Bad);
            assert_eq!(judge(&outcome, true, false), ours, "{reason:?}");
        }
        let full = Err(ApiError::new(Reason::WaitingRoomFull, "x"));
        assert_eq!(
            (judge(&full, true, false), judge(&full, true, true)),
            (Some(Served::Bad), None)
        );
        let late = Err(ApiError::new(Reason::TimedOut, "x"));
        assert_eq!(
            judge(&late, true, true),
            Some(Served::Bad),
            "a limit excuses no time-out"
        );
        let waiting = Ok(Relayed::Waiting(Place::default()));
        assert_eq!(judge(&waiting, true, false), None);
    }
}
