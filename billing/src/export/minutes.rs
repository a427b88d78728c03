//! Service minutes as CSV, in the form that `rate` reads: a row for each minute that was reported.

use jiff::Timestamp;

/// The rows in the order given.
pub fn minutes_csv(minutes: &[(Timestamp, u64, u64, u64, u64)]) -> Vec<u8> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    // Writing to memory does not fail.
    let _ = rows.write_record(["minute", "good", "bad", "fast", "slow"]);
    for (minute, good, bad, fast, slow) in minutes {
        let counts = [good, bad, fast, slow].map(u64::to_string);
        let _ = rows.write_record([minute.to_string()].iter().chain(&counts));
    }
    rows.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_a_row_with_all_its_counts() {
        let minutes = [("2026-11-01T00:01:00Z".parse().unwrap(), 9, 1, 7, 3)];
        let text = String::from_utf8(minutes_csv(&minutes)).unwrap();
        assert_eq!(text, "minute,good,bad,fast,slow\n2026-11-01T00:01:00Z,9,1,7,3\n");
    }
}
