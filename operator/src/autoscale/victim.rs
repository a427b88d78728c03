//! Which workers leave.

/// A worker that could leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Name of its Pod.
    pub pod: String,
    /// Its active conversations.
    pub active: u32,
    /// Seconds since 1970 of its Pod's creation.
    pub created: i64,
    /// It runs what the pool no longer asks for.
    pub outdated: bool,
}

/// The `count` that leave: outdated ones first, then those with the fewest conversations, then the oldest.
pub fn choose_victims(mut candidates: Vec<Candidate>, count: usize) -> Vec<Candidate> {
    candidates.sort_by(|one, other| {
        let key = |of: &Candidate| (!of.outdated, of.active, of.created);
        key(one).cmp(&key(other)).then_with(|| one.pod.cmp(&other.pod))
    });
    candidates.truncate(count);
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_busy_leave_first_then_the_oldest() {
        let candidate = |pod: &str, active, created, outdated| Candidate {
            pod: pod.to_owned(),
            active,
            created,
            outdated,
        };
        let all = vec![
            candidate("busy-old", 9, 1, false),
            candidate("idle-new", 0, 9, false),
            candidate("idle-old", 0, 3, false),
            candidate("outdated", 5, 5, true),
        ];
        let chosen: Vec<_> = choose_victims(all, 3).into_iter().map(|one| one.pod).collect();
        assert_eq!(chosen, ["outdated", "idle-old", "idle-new"]);
    }
}
