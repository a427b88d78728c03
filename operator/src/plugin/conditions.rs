//! Conditions that somebody should look at.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::text::paragraph;

/// What a condition is when all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Well {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Either is well.
    Either,
}

/// Those that are not as they should be, each with its reason and message.
pub(super) fn unwell(conditions: &[Condition]) -> String {
    let lines: String = conditions.iter().filter(|one| !is_well(one)).map(shown).collect();
    if lines.is_empty() && conditions.is_empty() {
        "  none yet\n".to_owned()
    } else if lines.is_empty() {
        "  all as they should be\n".to_owned()
    } else {
        lines
    }
}

/// One condition.
pub(super) fn shown(condition: &Condition) -> String {
    let Condition {
        type_,
        status,
        reason,
        message,
        last_transition_time,
        observed_generation: _,
    } = condition;
    let since = last_transition_time.0;
    format!(
        "  {type_}={status} ({reason}) since {since}\n{}",
        paragraph(message, 4)
    )
}

fn is_well(condition: &Condition) -> bool {
    let well = match (condition.type_.as_str(), condition.reason.as_str()) {
        // Somebody wanted it so, or it is the ordinary course.
        ("Available", "Suspended")
        | ("WorkersStarting", "Starting")
        | ("PrewarmReady", "Waiting" | "Prewarming" | "CoolingDown" | "Over")
        | ("OverrideActive" | "Active" | "BaselineLearned", _) => Well::Either,
        ("WorkersStarting", _) => Well::False,
        _ => Well::True,
    };
    match well {
        Well::True => condition.status == "True",
        Well::False => condition.status == "False",
        Well::Either => true,
    }
}
