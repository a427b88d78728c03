//! Exclusions as CSV, in the form that `rate` reads: a row for each span that no credit is computed from.

use super::harmless;
use crate::store::NewExclusion;

/// The rows in the order given.
pub fn exclusions_csv(exclusions: &[NewExclusion]) -> Vec<u8> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    // Writing to memory does not fail.
    let _ = rows.write_record(["from", "to", "reason", "approver"]);
    for NewExclusion {
        from,
        to,
        reason,
        approver,
    } in exclusions
    {
        let row = [
            from.to_string(),
            to.to_string(),
            harmless(reason),
            harmless(approver),
        ];
        let _ = rows.write_record(row);
    }
    rows.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusion_is_a_row_with_why_and_who_agreed_and_no_formula() {
        let exclusion = NewExclusion {
            from: "2026-11-01T00:01:00Z".parse().unwrap(),
            to: "2026-11-01T02:00:00.5Z".parse().unwrap(),
            reason: "=1+1, \"agreed\"".into(),
            approver: "王经理".into(),
        };
        let text = String::from_utf8(exclusions_csv(&[exclusion])).unwrap();
        assert_eq!(
            text,
            "from,to,reason,approver\n2026-11-01T00:01:00Z,2026-11-01T02:00:00.5Z,\"'=1+1, \"\"agreed\"\"\",王经理\n"
        );
    }
}
