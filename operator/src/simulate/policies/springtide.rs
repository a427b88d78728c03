//! `springtide`: the operator's own decision, on what the operator sees.
//!
//! Rates come from counters that grow, as gateways report them each second; the start time is measured. It looks each
//! second, and at once when active or waiting changed, but at most four times a second. What is usual is learned from the
//! run itself, as the operator learns it; where a trace has no dates, it is taken to begin with a week.
//!
//! - *resumed*: a run that goes on from a pool that was seen, with what is known of it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Autoscaler, Cadence, Removable, View, Wish};
use crate::autoscale::{
    Baseline, BaselineLearner, Bounds, Candidate, CounterWindow, Departure, Flow, History, HoldTime, Moment,
    Observation, Override, Policy, PoolShape, STARTING_AT_ONCE, StartTimes, TenantRoom, Usual,
    choose_victims, decide, horizon,
};
use crate::simulate::pool::Pool;
use crate::simulate::promotion::{Live, Note, Promotions};
use crate::simulate::units::{SECOND, Time};

/// Between two looks because something changed.
const PAUSE: Time = 250_000_000;

/// The moment at which a run begins: what was seen before it has a moment too.
const BEGIN: Moment = Duration::from_hours(1);
/// What is known of a pool that was seen stands for so many starts, for endings that are believed, and for counters of the
/// longest span that rates look back.
const RESUMED_STARTS: usize = 19;
const RESUMED_ENDINGS: f64 = 1_000.0;
const RESUMED_COUNTS: Duration = Duration::from_mins(1);

/// Where a trace has no dates, it begins here: a Monday.
const MONDAY: Timestamp = Timestamp::constant(4 * 24 * 3_600, 0);

/// The decision of one pool, and all it remembers.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Springtide {
    policy: Policy,
    history: History,
    counters: CounterWindow,
    /// What they show when the run begins.
    counted: (u64, u64),
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
    manual: Option<Override>,
    tenant_share: u32,
    shape: PoolShape,
    room: TenantRoom,
    zone: String,
}

/// What is known of a pool that was seen.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Resumed {
    /// Conversations that come and go.
    pub(in crate::simulate) flow: Flow,
    /// Time until a new worker answers: what 95 and what 99 of 100 keep.
    pub(in crate::simulate) start_times: (Duration, Duration),
    /// How long a conversation lasts on average, where that was measured.
    pub(in crate::simulate) hold: Option<Duration>,
    /// Workers that were decided last.
    pub(in crate::simulate) desired: u32,
    /// The highest load of the last hour.
    pub(in crate::simulate) peak: u32,
    /// What load is usual.
    pub(in crate::simulate) baseline: Baseline,
    /// What somebody gave by `kubectl scale`.
    pub(in crate::simulate) manual: Option<Override>,
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
            counted: (0, 0),
            hold: HoldTime::default(),
            start_time: starts.p95(),
            horizon: horizon(starts.p99()),
            starts,
            begun: begun.unwrap_or(MONDAY),
            baseline: BaselineLearner::default(),
            usual: None,
            unusual: false,
            promotions,
            manual: None,
            tenant_share: pool.tenant_share,
            shape: pool.shape(),
            room: pool.room(),
            zone: pool.zone.clone(),
        }
    }

    /// Goes on from a pool that was seen when the run begins.
    pub(in crate::simulate) fn resume(mut self, seen: &Resumed) -> Self {
        let Resumed {
            flow,
            start_times: (p95, p99),
            hold,
            desired,
            peak,
            baseline,
            manual,
        } = seen;
        for _ in 0..RESUMED_STARTS {
            self.started_after(*p95);
        }
        self.started_after(*p99);
        let span = RESUMED_COUNTS.as_secs_f64();
        self.counted = (count(flow.arrivals * span), count(flow.endings * span));
        self.counters.push(BEGIN.saturating_sub(RESUMED_COUNTS), 0, 0);
        if let Some(hold) = hold {
            self.hold = HoldTime::of(*hold, RESUMED_ENDINGS);
        }
        self.history.resume(*desired);
        self.promotions.loaded(BEGIN, *peak);
        self.baseline = BaselineLearner::resume(baseline.clone());
        self.manual = *manual;
        self
    }

    /// What the promotions came to.
    pub(in crate::simulate) fn notes(&self) -> &[Note] {
        self.promotions.notes()
    }

    fn started_after(&mut self, taken: Duration) {
        self.starts.push(taken);
        self.start_time = self.starts.p95();
        self.horizon = horizon(self.starts.p99());
    }

    fn time(&self, view: &View) -> Timestamp {
        let since = SignedDuration::try_from(Duration::from_nanos(view.now)).unwrap_or(SignedDuration::MAX);
        self.begun.checked_add(since).unwrap_or(Timestamp::MAX)
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
        let (arrived, ended) = self.counted;
        self.counters
            .push(moment(view), arrived + view.arrived, ended + view.ended);
        let time = self.time(view);
        self.baseline
            .observe(time, &self.zone, (!self.unusual).then_some(view.load()));
        self.usual = self.baseline.usual(time, self.horizon, &self.room.zone);
    }

    fn started(&mut self, taken: Time) {
        self.started_after(Duration::from_nanos(taken));
    }

    fn decide(&mut self, view: &View) -> Wish {
        let (now, time) = (moment(view), self.time(view));
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
            lost: 0,
        };
        let plans = self.promotions.plans(&Live {
            now,
            time,
            load: view.load(),
            ready: view.ready,
            starting: view.starting,
            start_time: self.starts.p99(),
            hold_time: self.hold.measured(),
            baseline: &self.baseline.learned(),
            shape: self.shape,
            room: &self.room,
        });
        self.unusual = plans.iter().any(|plan| plan.open);
        let bounds = Bounds {
            manual: self.manual.filter(|manual| !manual.has_lapsed(time)),
            plans,
            tenant_share: self.tenant_share,
            kept_share: u32::MAX,
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

fn moment(view: &View) -> Moment {
    BEGIN + Duration::from_nanos(view.now)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and nothing here is negative"
)]
fn count(conversations: f64) -> u64 {
    conversations.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscale::BaselineFrom;
    use crate::simulate::manifest::Documents;

    const FILE: &str = r#"
apiVersion: springtide.dev/v1alpha1
kind: BotPool
metadata: {name: web, namespace: tenant-acme}
spec: {worker: {image: w, conversations: 20}, scaling: {max: 9}}
---
apiVersion: springtide.dev/v1alpha1
kind: Promotion
metadata: {name: double-11}
spec:
  pools: [{tenant: acme, pool: web}]
  window: {start: "2026-11-10T20:00", end: "2026-11-10T21:00", timeZone: UTC}
  boost: {percent: "200"}
"#;

    #[test]
    fn a_promotion_counts_from_what_the_run_taught_of_the_weeks_before() {
        let pool = Pool::parse(FILE).unwrap();
        let counted = |days: u64| {
            let mut promotions = Promotions::default();
            let promotion = Documents::parse(FILE).unwrap().one().unwrap();
            promotions.add(&promotion, &pool, None).unwrap();
            let opens: Timestamp = "2026-11-10T20:00:00Z".parse().unwrap();
            let begun = opens - Duration::from_hours(24 * days);
            let mut policy = Springtide::new(&pool, promotions, Some(begun));
            let view = |second: u64, active: u32| View {
                now: second * SECOND,
                active,
                ready: 5,
                ..View::default()
            };
            // Sixty conversations all the time, and a hundred in the last two hours before it opens.
            let last = (24 * days - 2) * 3_600;
            (0..last / 20).for_each(|look| policy.sample(&view(look * 20, 60)));
            for second in last..last + 7_200 {
                policy.sample(&view(second, 100));
                policy.decide(&view(second, 100));
            }
            policy.notes()[0].baseline
        };
        assert_eq!(counted(20), Some((60, BaselineFrom::SameSlotBaseline)));
        assert_eq!(counted(10), Some((100, BaselineFrom::LastHour)));
    }
}
