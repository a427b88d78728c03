//! Outcomes as a table, a row a policy.

use super::outcome::Outcome;

const HEADINGS: [&str; 12] = [
    "policy",
    "worker-hours",
    "of oracle",
    "conversations",
    "waited > 5 s",
    "share",
    "longest wait",
    "peak",
    "created",
    "deleted",
    "moved",
    "busy deleted",
];

/// The table, with a heading and a line end after each row.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(outcomes.iter().map(cells));
    let widths: [usize; 12] = std::array::from_fn(|column| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    });
    let mut text = String::new();
    for row in rows {
        // Names to the left, numbers to the right.
        let cells = row.iter().zip(widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

fn cells(outcome: &Outcome) -> [String; 12] {
    // Without `..`: a new figure is a new column.
    let Outcome {
        policy,
        worker_hours,
        oracle_worker_hours: _,
        ratio,
        conversations,
        waited_over_5s,
        waited_over_5s_share,
        max_wait_s,
        peak_workers,
        creations,
        deletions,
        moved,
        busy_deleted,
        notes: _,
    } = outcome;
    [
        (*policy).to_owned(),
        format!("{worker_hours:.1}"),
        ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.4}")),
        conversations.to_string(),
        waited_over_5s.to_string(),
        format!("{:.4} %", waited_over_5s_share * 100.0),
        format!("{max_wait_s:.1} s"),
        peak_workers.to_string(),
        creations.to_string(),
        deletions.to_string(),
        moved.to_string(),
        busy_deleted.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_a_policy_with_figures_to_the_right() {
        let outcome = Outcome {
            policy: "hpa",
            worker_hours: 1_234.56,
            oracle_worker_hours: 1_000.0,
            ratio: Some(1.234_56),
            conversations: 1_000_000,
            waited_over_5s: 10,
            waited_over_5s_share: 0.000_01,
            max_wait_s: 7.25,
            peak_workers: 50,
            creations: 100,
            deletions: 90,
            moved: 5,
            busy_deleted: 0,
            notes: Vec::new(),
        };
        let idle = Outcome {
            policy: "springtide",
            ratio: None,
            ..outcome.clone()
        };
        let text = table(&[outcome, idle]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[1],
            "hpa               1234.6     1.2346        1000000            10  0.0010 %         7.2 s    50      100       90      5             0"
        );
        assert!(
            lines[2].starts_with("springtide        1234.6          -"),
            "{text}"
        );
    }
}
