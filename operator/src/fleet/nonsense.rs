//! What a worker or gateway says that cannot be true.
//!
//! - *good*: a message that can be true. Only those change what is known, and only those count as being heard: whoever repeats
//!   itself has fallen silent.

use std::time::Duration;

/// Nobody sends more reports in a second. One that skips more was not sent in that order, and those that follow would look old.
const MOST_A_SECOND: u64 = 1_000;

/// Why a message cannot be true.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Nonsense {
    #[error("report {sequence} was sent before report {known}, which is known")]
    Old { sequence: u64, known: u64 },
    #[error("report {sequence} cannot follow report {known} so soon")]
    Skipped { sequence: u64, known: u64 },
    #[error("a capacity of {claimed} conversations, though it was given {given}")]
    Capacity { claimed: u32, given: u32 },
    #[error("an acknowledgement of a command that it was not given, or a second one")]
    Acknowledgement,
}

/// Whether a report can follow the one that is known (0: none is), which came that long ago.
pub(super) fn in_order(sequence: u64, known: u64, ago: Duration) -> Result<(), Nonsense> {
    if sequence <= known {
        return Err(Nonsense::Old { sequence, known });
    }
    let most = MOST_A_SECOND.saturating_mul(ago.as_secs().saturating_add(1));
    // How many an earlier leader was sent, this one does not know.
    if known > 0 && sequence - known > most {
        return Err(Nonsense::Skipped { sequence, known });
    }
    Ok(())
}

/// Whether a worker can take so many conversations at once, of which it was given that many, if that is known.
pub(super) fn as_given(claimed: u32, given: Option<u32>) -> Result<(), Nonsense> {
    match given {
        Some(given) if claimed > given => Err(Nonsense::Capacity { claimed, given }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_follows_the_one_before_and_skips_no_more_than_could_be_sent_since() {
        let follows = |sequence, known, seconds| in_order(sequence, known, Duration::from_secs(seconds));
        assert_eq!(follows(6, 5, 0), Ok(()));
        let (sequence, known) = (5, 5);
        assert_eq!(follows(5, 5, 60), Err(Nonsense::Old { sequence, known }));
        assert_eq!(follows(1_005, 5, 0), Ok(()), "some were lost with a stream");
        let (sequence, known) = (1_006, 5);
        assert_eq!(follows(1_006, 5, 0), Err(Nonsense::Skipped { sequence, known }));
        assert_eq!(follows(1_006, 5, 1), Ok(()));
        assert_eq!(follows(1_000_000, 0, 0), Ok(()), "a new leader knows none");
        assert!(follows(0, 0, 0).is_err(), "the first is 1");
    }
}
