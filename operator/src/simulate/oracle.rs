//! `oracle`: the workers that one who knows the future has, to compare others with.
//!
//! It faces the same customers, and nobody waits. At each whole second it has `ceil(active / conversations)` workers,
//! whatever the pool's minimum and maximum, as if conversations moved freely so that each worker but one is full. Each
//! creation, which is a rise of that number by one from one second to the next, pays the start time before it, in whole
//! seconds (the mean, rounded, where start times are drawn), as far as that lies within the run. The workers of the first
//! second are not created, as with every policy.
//!
//! It is not strictly the least: who keeps a worker over a gap shorter than its start time can have less, by under 1 %.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;

use super::demand::{Demand, whole_seconds};
use super::engine::Tally;
use super::fleet::Counts;
use super::rows::{Meter, Row, Rows};
use super::scenario::Scenario;
use super::units::{SECOND, Time, ceil, to_u32, to_usize};

/// What came of it, and the most workers that were needed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OracleRun {
    pub(super) tally: Tally,
    pub(super) most_needed: u32,
}

/// Runs it from the beginning of the trace to its end.
pub(super) fn run<'a>(scenario: &'a Scenario, rows: &'a mut Rows<'a>) -> io::Result<OracleRun> {
    let (demand, active) = Demand::new(scenario);
    let first = active.len();
    let mut demand = demand.peekable();
    let mut ends: BinaryHeap<Reverse<Time>> = active.into_iter().map(Reverse).collect();
    let mut starts = Starts::new(scenario, Meter::new(rows));
    let mut counts = Counts::default();
    for second in 0..whole_seconds(scenario) {
        let now = second * SECOND;
        counts.ended += take_ends(&mut ends, now);
        starts.needs(second, to_u32(ends.len()), &mut counts)?;
        let until = (now + SECOND).min(scenario.trace.end);
        let before = counts.arrived;
        while let Some(arrival) = demand.next_if(|arrival| arrival.at < until) {
            counts.arrived += 1;
            ends.push(Reverse(arrival.at.saturating_add(arrival.hold)));
        }
        starts.arrived(counts.arrived - before);
    }
    // As in every run, what ends at its very end does not end within it.
    counts.ended += take_ends(&mut ends, scenario.trace.end.saturating_sub(1));
    starts.flush(0)?;
    Ok(OracleRun {
        most_needed: starts.most_needed,
        tally: Tally {
            worker_seconds: starts.meter.worker_seconds,
            peak_workers: starts.meter.peak_workers,
            counts,
            first: u64::from(to_u32(first)),
            active: to_u32(ends.len()),
            ..Tally::default()
        },
    })
}

fn take_ends(ends: &mut BinaryHeap<Reverse<Time>>, now: Time) -> u64 {
    let mut ended = 0;
    while ends.peek().is_some_and(|Reverse(at)| *at <= now) {
        ends.pop();
        ended += 1;
    }
    ended
}

/// Rows are held back by the start time, until it is known who starts in them.
struct Starts<'a> {
    capacity: u32,
    /// Whole seconds that a start takes.
    taken: usize,
    pending: VecDeque<Row>,
    meter: Meter<'a>,
    most_needed: u32,
}

impl<'a> Starts<'a> {
    fn new(scenario: &Scenario, meter: Meter<'a>) -> Self {
        let taken = ceil(scenario.starts.mean_seconds().round());
        Self {
            capacity: scenario.capacity,
            taken: to_usize(taken),
            pending: VecDeque::new(),
            meter,
            most_needed: 0,
        }
    }

    fn needs(&mut self, second: u64, active: u32, counts: &mut Counts) -> io::Result<()> {
        let ready = active.div_ceil(self.capacity);
        let before = self.pending.back().map_or(ready, |row| row.ready);
        let rise = ready.saturating_sub(before);
        counts.created += u64::from(rise);
        counts.deleted += u64::from(before.saturating_sub(ready));
        if rise > 0 {
            for row in self.pending.iter_mut().rev().take(self.taken) {
                row.starting += rise;
            }
        }
        self.most_needed = self.most_needed.max(ready);
        self.pending.push_back(Row {
            second,
            active,
            ready,
            ..Row::default()
        });
        self.flush(self.taken.max(1))
    }

    fn arrived(&mut self, arrivals: u64) {
        if let Some(row) = self.pending.back_mut() {
            row.arrivals = arrivals;
        }
    }

    /// Hands on all rows but the last `keep`.
    fn flush(&mut self, keep: usize) -> io::Result<()> {
        while self.pending.len() > keep
            && let Some(row) = self.pending.pop_front()
        {
            self.meter.push(&row)?;
        }
        Ok(())
    }
}
