//! The figures of a run, from the files that it left.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use springtide_proto::ended::Outcome;

use super::fleet::{Action, FLEET, FleetEvent};
use super::{RUN, Run, Size};
use crate::ends::{self, Ended};
use crate::report::percentile;
use crate::turns::{self, Fault, Turn};

/// Name of the file.
pub const FIGURES: &str = "figures.json";
/// So many of what is wrong are told.
const EXAMPLES: usize = 10;

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// What it was.
    pub run: Run,
    /// Conversations that a customer began.
    pub conversations: u64,
    /// Of these, a turn was not answered, or answered as if there had been none before.
    pub lost: u64,
    /// Of these, a turn was answered by another worker than the one before.
    pub moved: u64,
    /// Turns that were answered.
    pub answered: u64,
    /// Turns that needed more than one request.
    pub sent_again: u64,
    /// Turns that two workers answered, none of which was killed; or whose answer changed when it was asked for again.
    pub answered_twice: u64,
    /// Turns that two workers answered, one of which was killed before its answer had reached the gateway; they count once.
    pub answered_twice_for_a_kill: u64,
    /// Turns that were answered and do not count on the bill, or count and were not answered.
    pub wrongly_counted: u64,
    /// Turns that only one witness reported.
    pub one_witness: u64,
    /// Conversations that do not count as ended, or otherwise than their customers saw, or count and had no answer.
    pub wrongly_ended: u64,
    /// Some of these, with what was said of their ends and how each of their turns went, as the files have it.
    pub wrong_ends: Vec<String>,
    /// Conversations of which only one witness said that they ended.
    pub ended_by_one_witness: u64,
    /// Usage that was left in a spool when the run was over.
    pub left_in_spools: u64,
    /// From a message's first request to its answer.
    pub wait_ms: Waits,
    /// Workers that were started.
    pub started: u64,
    /// Workers that were drained and ended: scale-ins.
    pub scaled_in: u64,
    /// Of these, with usage left in the spool.
    pub ended_with_usage: u64,
    /// Conversations that were active on workers when those were cordoned.
    pub active_at_cordon: u64,
    /// Workers that were killed.
    pub killed: u64,
    /// Of these, the disk was lost.
    pub killed_with_disk: u64,
    /// Conversations that were active on workers when those were killed.
    pub active_at_kill: u64,
    /// Conversations that ended a second.
    pub conversations_per_second: f64,
    /// Processors that were busy on average, of all of the machine.
    pub busy_processors: f64,
}

/// Percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Waits {
    /// Half were not longer.
    pub p50: f64,
    /// Of 100, 90 were not longer.
    pub p90: f64,
    /// Of 100, 99 were not longer.
    pub p99: f64,
    /// The longest.
    pub most: f64,
}

impl Waits {
    /// Of microseconds, in any order.
    pub fn of(mut microseconds: Vec<i64>) -> Self {
        microseconds.sort_unstable();
        let at = |percent| percentile(&microseconds, percent).unwrap_or_default() as f64 / 1_000.0;
        Self {
            p50: at(50),
            p90: at(90),
            p99: at(99),
            most: at(100),
        }
    }
}

/// Computes the figures.
pub fn compute(folder: &Path) -> anyhow::Result<Figures> {
    let run: Run = serde_json::from_str(&std::fs::read_to_string(folder.join(RUN))?)
        .with_context(|| format!("{RUN} is not what a run leaves"))?;
    let fleet = std::fs::read_to_string(folder.join(FLEET))?;
    let fleet: Vec<FleetEvent> = fleet
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{FLEET} is not what a run leaves"))?;
    let killed: HashSet<u32> = of(&fleet, &[Action::Killed, Action::KilledWithDisk])
        .map(|event| event.worker)
        .collect();
    let mut sum = Sum::default();
    turns::read(folder, |conversation, turn| sum.add(conversation, turn, &killed))?;
    let ends = ends::read(folder)?;
    let wrong = wrongly_ended(&ends, &sum, &run.size);
    Ok(Figures {
        wrongly_ended: wrong.len() as u64,
        wrong_ends: told_of(&wrong, &ends, folder)?,
        ended_by_one_witness: ends
            .values()
            .filter(|ended| ended.by_worker != ended.by_gateway)
            .count() as u64,
        ..sum.figures(run, &fleet)
    })
}

/// Turns are answered by a list and then, after a choice, by one answer.
fn wrongly_ended(ends: &BTreeMap<usize, Ended>, sum: &Sum, size: &Size) -> Vec<usize> {
    let outcome = if size.turns.is_multiple_of(2) {
        Outcome::Resolved
    } else {
        Outcome::Abandoned
    };
    let is_right = |conversation: &usize| {
        let ended = ends.get(conversation).map(|ended| ended.outcome);
        // Of a last message that was sent twice the second to arrive may be the one whose answer nobody read, and that counts.
        let went = ended == Some(Outcome::Abandoned) && sum.went.contains(conversation);
        // What became of a conversation that was lost, nobody can say.
        ended == Some(outcome) || went || sum.lost.contains(conversation)
    };
    let begun = 0..size.conversations;
    let never_begun = ends
        .keys()
        .copied()
        .filter(|conversation| !begun.contains(conversation));
    let wrong = begun.clone().filter(|conversation| !is_right(conversation));
    wrong.chain(never_begun).collect()
}

/// Of the first few, for people who look for the cause.
fn told_of(wrong: &[usize], ends: &BTreeMap<usize, Ended>, folder: &Path) -> anyhow::Result<Vec<String>> {
    let few = &wrong[..wrong.len().min(EXAMPLES)];
    let mut told: BTreeMap<usize, String> = few
        .iter()
        .map(|conversation| {
            (
                *conversation,
                format!("c{conversation}: {:?}", ends.get(conversation)),
            )
        })
        .collect();
    if !told.is_empty() {
        turns::read(folder, |conversation, turn| {
            if let Some(text) = told.get_mut(&conversation) {
                *text = format!("{text}; {turn:?}");
            }
        })?;
    }
    Ok(told.into_values().collect())
}

fn of<'a>(fleet: &'a [FleetEvent], actions: &'a [Action]) -> impl Iterator<Item = &'a FleetEvent> {
    fleet.iter().filter(|event| actions.contains(&event.action))
}

#[derive(Default)]
struct Sum {
    conversation: Option<usize>,
    worker: Option<u32>,
    conversations: u64,
    lost: HashSet<usize>,
    /// An answer to the last message was not read.
    went: HashSet<usize>,
    moved: HashSet<usize>,
    answered: u64,
    sent_again: u64,
    answered_twice: u64,
    answered_twice_for_a_kill: u64,
    wrongly_counted: u64,
    one_witness: u64,
    waits: Vec<i64>,
}

impl Sum {
    fn add(&mut self, conversation: usize, turn: Turn, killed: &HashSet<u32>) {
        let is_first = self.conversation != Some(conversation);
        if is_first {
            (self.conversation, self.worker) = (Some(conversation), None);
            self.conversations += u64::from(turn.attempts > 0);
        }
        let is_answered = turn.answered_by.is_some();
        if !is_answered || matches!(turn.fault, Some(Fault::NotAnswered | Fault::StateLost)) {
            self.lost.insert(conversation);
        }
        if is_answered {
            self.answered += 1;
            self.waits.push(i64::from(turn.wait_us));
            if self.worker.is_some() && self.worker != turn.answered_by {
                self.moved.insert(conversation);
            }
            self.worker = turn.answered_by;
        }
        self.sent_again += u64::from(turn.attempts > 1);
        if turn.undelivered > 0 {
            self.went.insert(conversation);
        } else {
            self.went.remove(&conversation);
        }
        let by = [turn.reported_by, turn.reported_too_by];
        if turn.reported_too_by.is_some() {
            let for_a_kill = by.into_iter().flatten().any(|worker| killed.contains(&worker));
            *(if for_a_kill {
                &mut self.answered_twice_for_a_kill
            } else {
                &mut self.answered_twice
            }) += 1;
        }
        self.answered_twice += u64::from(turn.fault == Some(Fault::AnsweredOtherwise));
        self.wrongly_counted += u64::from(is_answered != turn.counts());
        let of_gateways = turn.delivered + turn.undelivered > 0;
        self.one_witness += u64::from(turn.reported_by.is_some() != of_gateways);
    }

    fn figures(self, run: Run, fleet: &[FleetEvent]) -> Figures {
        let count = |actions: &[Action]| of(fleet, actions).count() as u64;
        let active = |actions: &[Action]| {
            of(fleet, actions)
                .map(|event| u64::from(event.conversations))
                .sum()
        };
        let kills = [Action::Killed, Action::KilledWithDisk];
        Figures {
            conversations: self.conversations,
            lost: self.lost.len() as u64,
            moved: self.moved.len() as u64,
            answered: self.answered,
            sent_again: self.sent_again,
            answered_twice: self.answered_twice,
            answered_twice_for_a_kill: self.answered_twice_for_a_kill,
            wrongly_counted: self.wrongly_counted,
            one_witness: self.one_witness,
            wrongly_ended: 0,
            wrong_ends: Vec::new(),
            ended_by_one_witness: 0,
            left_in_spools: run.left_in_spools,
            wait_ms: Waits::of(self.waits),
            started: count(&[Action::Started]),
            scaled_in: count(&[Action::Ended, Action::EndedWithUsage]),
            ended_with_usage: count(&[Action::EndedWithUsage]),
            active_at_cordon: active(&[Action::Cordoned]),
            killed: count(&kills),
            killed_with_disk: count(&[Action::KilledWithDisk]),
            active_at_kill: active(&kills),
            conversations_per_second: self.conversations as f64 / run.seconds,
            busy_processors: run.cpu_seconds / run.seconds,
            run,
        }
    }
}
