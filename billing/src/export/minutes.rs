//! Service minutes as CSV, in the form that `rate` reads: a row for each minute that was reported.

use crate::service_level::burn::Minute;

/// The rows in the order given. Whether customers could reach the service is a column only where they could not in some minute.
pub fn minutes_csv(minutes: &[Minute]) -> Vec<u8> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    let is_some_unreachable = minutes.iter().any(|(_, counts)| counts.unreachable);
    let columns = ["minute", "good", "bad", "fast", "slow", "unreachable"];
    let shown = columns.len() - usize::from(!is_some_unreachable);
    // Writing to memory does not fail.
    let _ = rows.write_record(columns.iter().take(shown));
    for (minute, counts) in minutes {
        let numbers = [
            counts.good,
            counts.bad,
            counts.fast,
            counts.slow,
            counts.unreachable.into(),
        ];
        let fields = std::iter::once(minute.to_string()).chain(numbers.iter().map(u64::to_string));
        let _ = rows.write_record(fields.take(shown));
    }
    rows.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rating::rate::MinuteCounts;

    fn text(unreachable: bool) -> String {
        let counts = MinuteCounts {
            good: 9,
            bad: 1,
            fast: 7,
            slow: 3,
            unreachable,
        };
        let minutes = [("2026-11-01T00:01:00Z".parse().unwrap(), counts)];
        String::from_utf8(minutes_csv(&minutes)).unwrap()
    }

    #[test]
    fn a_minute_is_a_row_with_all_its_counts() {
        assert_eq!(
            text(false),
            "minute,good,bad,fast,slow\n2026-11-01T00:01:00Z,9,1,7,3\n"
        );
        assert_eq!(
            text(true),
            "minute,good,bad,fast,slow,unreachable\n2026-11-01T00:01:00Z,9,1,7,3,1\n"
        );
    }
}
