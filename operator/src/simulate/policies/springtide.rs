//! `springtide`: the operator's own decision, on what the operator sees.
//!
//! Rates come from counters that grow, as gateways report them each second; the start time is measured. It looks each
//! second, and at once when active or waiting changed, but at most four times a second. What is usual is learned from the
//! run itself, by the clock of UTC; where a trace has no dates, it is taken to begin with a week.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Autoscaler, Cadence, Removable, View, Wish};
use crate::autoscale::{
    BaselineLearner, Bounds, Candidate, CounterWindow, Departure, History, HoldTime, Observation, Policy,
    STARTING_AT_ONCE, StartTimes, Usual, choose_victims, decide, horizon,
};
use crate::simulate::pool::Pool;
use crate::simulate::promotion::{Live, Promotions};
use crate::simulate::units::{SECOND, Time};

/// Between two looks because something changed.
const PAUSE: Time = 250_000_000;

/// Where a trace has no dates, it begins here: a Monday.
const MONDAY: Timestamp = Timestamp::constant(4 * 24 * 3_600, 0);

/// The decision of one pool, and all it remembers.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Springtide {
    policy: Policy,
    history: History,
    counters: CounterWindow,
    hold: HoldTime,
    starts: StartTimes,
    /// Of the starts that were measured.
    start_time: Duration,
    horizon: Duration,
    begun: Timestamp,
    baseline: BaselineLearner,
    usual: Option<Usual>,
    /// A promotion's window is open: what comes is not what usually comes.
    unusual: bool,
    promotions: Promotions,
    tenant_share: u32,
}

impl Springtide {
    /// For a run that begins at that time.
    pub(in crate::simulate) fn new(pool: &Pool, promotions: Promotions, begun: Option<Timestamp>) -> Self {
        let starts = StartTimes::default();
        Self {
            policy: Policy {
                suspended: false,
                ..pool.policy.clone()
            },
            history: History::default(),
            counters: CounterWindow::default(),
            hold: HoldTime::default(),
            start_time: starts.p95(),
            horizon: horizon(starts.p99()),
            starts,
            begun: begun.unwrap_or(MONDAY),
            baseline: BaselineLearner::default(),
            usual: None,
            unusual: false,
            promotions,
            tenant_share: pool.tenant_share,
        }
    }
}

impl Autoscaler for Springtide {
    fn cadence(&self) -> Cadence {
        Cadence {
            every_seconds: 1,
            on_change: Some(PAUSE),
        }
    }

    fn first(&self, needed: u32) -> u32 {
        needed.max(self.policy.min)
    }

    fn sample(&mut self, view: &View) {
        self.counters.push(moment(view.now), view.arrived, view.ended);
        let since = SignedDuration::try_from(moment(view.now)).unwrap_or(SignedDuration::MAX);
        let time = self.begun.checked_add(since).unwrap_or(Timestamp::MAX);
        self.baseline
            .observe(time, "UTC", (!self.unusual).then_some(view.load()));
        self.usual = self.baseline.usual(time, self.horizon, &TimeZone::UTC);
    }

    fn started(&mut self, taken: Time) {
        self.starts.push(moment(taken));
        self.start_time = self.starts.p95();
        self.horizon = horizon(self.starts.p99());
    }

    fn decide(&mut self, view: &View) -> Wish {
        let now = moment(view.now);
        let rates = self.counters.rates(now);
        self.hold
            .observe(now, Some((view.active, rates.longest().endings)));
        let observation = Observation {
            active: view.active,
            waiting: view.waiting,
            rates,
            start_time: self.start_time,
            horizon: self.horizon,
            usual: self.usual,
            ready: view.ready,
            starting: view.starting,
            silent: 0,
        };
        let plans = self.promotions.plans(Live {
            now,
            load: view.load(),
            have: view.have(),
            capacity: self.policy.capacity,
            start_time: self.start_time,
            level: self.policy.service_level,
            hold_time: self.hold.measured(),
        });
        self.unusual = plans.iter().any(|plan| plan.open);
        let bounds = Bounds {
            manual: None,
            plans: &plans,
            tenant_share: self.tenant_share,
            scarce: false,
        };
        let decision = decide(&self.policy, &observation, &bounds, &mut self.history, now);
        Wish {
            workers: decision.desired,
            most_starting: STARTING_AT_ONCE.max(view.ready),
        }
    }

    fn victims(&self, _now: Time, removable: Vec<Removable>, count: usize) -> Vec<u32> {
        let candidates = removable.iter().map(|one| Candidate {
            // Names in the order of their numbers.
            pod: format!("{:010}", one.worker),
            unscheduled: false,
            active: one.active,
            // Simulated customers end their conversations; none falls silent.
            parked_in: Duration::ZERO,
            created: i64::try_from(one.created / SECOND).unwrap_or(i64::MAX),
            outdated: false,
        });
        let victims = choose_victims(candidates.collect(), count, Departure::Fewer).into_iter();
        victims.filter_map(|victim| victim.pod.parse().ok()).collect()
    }
}

fn moment(time: Time) -> Duration {
    Duration::from_nanos(time)
}
