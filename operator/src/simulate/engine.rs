//! A run under a virtual clock: who comes, what workers do, and what a policy decides of what it sees.
//!
//! What happens at one moment has an order: conversations end and workers become ready, conversations come, the policy
//! samples, the policy looks, the row is taken. A run begins with as many ready workers as the load needs, or the pool's
//! minimum, or with those that were seen; those are not counted as created.

use std::io;

use super::demand::{Arrival, Demand};
use super::fleet::{Counts, Event, Fleet};
use super::policies::{Autoscaler, Cadence, View};
use super::rows::{Meter, Row, Rows};
use super::scenario::{Scenario, WorkerRandom};
use super::units::{NEVER, SECOND, Time, to_u32, to_usize};

/// What came of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) worker_seconds: u64,
    pub(super) peak_workers: u32,
    pub(super) counts: Counts,
    /// Conversations that were there at the beginning.
    pub(super) first: u64,
    /// Conversations that hold a worker at the end.
    pub(super) active: u32,
    /// Conversations that wait at the end.
    pub(super) waiting: u32,
    /// Conversations that waited long.
    pub(super) waited_long: u64,
    /// The longest wait.
    pub(super) longest_wait: Time,
}

/// Runs a policy from the beginning of the trace to its end.
pub(super) fn run<'a>(
    scenario: &'a Scenario,
    policy: &'a mut dyn Autoscaler,
    rows: &'a mut Rows<'a>,
) -> io::Result<Tally> {
    let (demand, active) = Demand::new(scenario);
    let first = to_u32(active.len());
    let mut run = Run::new(scenario, policy, demand, Meter::new(rows));
    run.begin(active);
    while run.step()? {}
    run.finish(first)
}

struct Run<'a> {
    scenario: &'a Scenario,
    policy: &'a mut dyn Autoscaler,
    cadence: Cadence,
    fleet: Fleet,
    random: WorkerRandom,
    demand: Demand<'a>,
    arrival: Option<Arrival>,
    meter: Meter<'a>,
    /// The row of the second that goes on, and those who had come before it.
    row: Option<(Row, u64)>,
    next_second: u64,
    /// The look because something changed.
    next_look: Time,
    last_look: Option<Time>,
}

impl<'a> Run<'a> {
    fn new(
        scenario: &'a Scenario,
        policy: &'a mut dyn Autoscaler,
        mut demand: Demand<'a>,
        meter: Meter<'a>,
    ) -> Self {
        Self {
            scenario,
            cadence: policy.cadence(),
            policy,
            fleet: Fleet::new(scenario.capacity),
            random: WorkerRandom::new(scenario.seed),
            arrival: demand.next(),
            demand,
            meter,
            row: None,
            next_second: 0,
            next_look: NEVER,
            last_look: None,
        }
    }

    fn begin(&mut self, active: Vec<Time>) {
        let needed = to_u32(active.len()).div_ceil(self.scenario.capacity);
        let begin = self.scenario.begin;
        let ready = begin.map_or_else(|| self.policy.first(needed), |begin| begin.ready);
        for _ in 0..ready {
            self.fleet.place_ready(self.random.uid());
        }
        for _ in 0..begin.map_or(0, |begin| begin.starting) {
            let taken = self.random.start(&self.scenario.starts);
            self.fleet.place_starting(0, taken, self.random.uid());
        }
        for hold in active {
            self.fleet.place_active(hold);
        }
    }

    /// Does what comes next; `false` at the end.
    fn step(&mut self) -> io::Result<bool> {
        let arrival = self.arrival.map_or(NEVER, |arrival| arrival.at);
        let (event, second) = (self.fleet.next_event(), self.next_second * SECOND);
        let now = arrival.min(event).min(second).min(self.next_look);
        if now >= self.scenario.trace.end {
            return Ok(false);
        }
        let before = (self.fleet.active(), self.fleet.waiting());
        if event == now {
            if let Event::Ready(taken) = self.fleet.advance(now) {
                self.policy.started(taken);
            }
        } else if arrival == now {
            let hold = self.arrival.map_or(0, |arrival| arrival.hold);
            self.fleet.arrive(now, hold);
            self.arrival = self.demand.next();
        } else if second == now {
            self.tick(now)?;
            return Ok(true);
        } else {
            self.look(now);
            return Ok(true);
        }
        if before != (self.fleet.active(), self.fleet.waiting()) {
            self.look_soon(now);
        }
        Ok(true)
    }

    fn tick(&mut self, now: Time) -> io::Result<()> {
        self.policy.sample(&self.view(now));
        if self.next_second.is_multiple_of(self.cadence.every_seconds) {
            self.look(now);
        }
        self.close_row()?;
        let row = Row {
            second: self.next_second,
            arrivals: 0,
            active: self.fleet.active(),
            waiting: self.fleet.waiting(),
            starting: self.fleet.starting,
            ready: self.fleet.ready,
            draining: 0,
        };
        self.row = Some((row, self.fleet.counts.arrived));
        self.next_second += 1;
        Ok(())
    }

    fn close_row(&mut self) -> io::Result<()> {
        let Some((row, before)) = self.row.take() else {
            return Ok(());
        };
        let arrivals = self.fleet.counts.arrived - before;
        self.meter.push(&Row { arrivals, ..row })
    }

    fn look_soon(&mut self, now: Time) {
        if let Some(pause) = self.cadence.on_change
            && self.next_look == NEVER
        {
            let earliest = self.last_look.map_or(now, |last| last + pause);
            self.next_look = now.max(earliest);
        }
    }

    fn look(&mut self, now: Time) {
        (self.last_look, self.next_look) = (Some(now), NEVER);
        let view = self.view(now);
        let wish = self.policy.decide(&view);
        if wish.workers > view.have() {
            let startable = wish.most_starting.saturating_sub(view.starting);
            for _ in 0..startable.min(wish.workers - view.have()) {
                let taken = self.random.start(&self.scenario.starts);
                self.fleet.create(now, taken, self.random.uid());
            }
        } else if wish.workers < view.have() {
            let count = to_usize(view.have() - wish.workers);
            let victims = self.policy.victims(now, self.fleet.removable(), count);
            self.fleet.remove(now, &victims);
        }
    }

    fn view(&self, now: Time) -> View {
        View {
            now,
            active: self.fleet.active(),
            waiting: self.fleet.waiting(),
            arrived: self.fleet.counts.arrived,
            ended: self.fleet.counts.ended,
            ready: self.fleet.ready,
            starting: self.fleet.starting,
        }
    }

    fn finish(mut self, first: u32) -> io::Result<Tally> {
        self.close_row()?;
        self.fleet.queue.close(self.scenario.trace.end);
        Ok(Tally {
            worker_seconds: self.meter.worker_seconds,
            peak_workers: self.meter.peak_workers,
            counts: self.fleet.counts,
            first: u64::from(first),
            active: self.fleet.active(),
            waiting: self.fleet.waiting(),
            waited_long: self.fleet.queue.long,
            longest_wait: self.fleet.queue.longest,
        })
    }
}
