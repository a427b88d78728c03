//! The decision.

use std::time::Duration;

use super::{Bounds, History, Moment, Observation, Override, Policy};

/// Width of the margin over the expected growth, in standard deviations of a Poisson count.
const MARGIN_WIDTH: f64 = 1.5;

/// The term or bound that a decision came down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// What the load needs.
    Load,
    /// The pool's minimum.
    Minimum,
    /// The manual override.
    Override,
    /// A promotion.
    Promotion,
    /// The maximum of the pool or of a promotion.
    Maximum,
    /// The tenant's limit.
    TenantLimit,
    /// More was needed within the down window.
    DownWindow,
    /// No more may leave within this minute.
    DownRate,
    /// A worker or gateway is not heard: nothing leaves.
    MissingData,
    /// The leader has not watched for long enough: nothing leaves.
    ColdWindow,
    /// A promotion holds: nothing leaves.
    PromotionHolds,
    /// The active conversations fill more than the ceiling.
    Busy,
    /// The pool is to be empty.
    Suspended,
}

impl Binding {
    /// Text of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Load => "Load",
            Self::Minimum => "Minimum",
            Self::Override => "Override",
            Self::Promotion => "Promotion",
            Self::Maximum => "Maximum",
            Self::TenantLimit => "TenantLimit",
            Self::DownWindow => "DownWindow",
            Self::DownRate => "DownRate",
            Self::MissingData => "MissingData",
            Self::ColdWindow => "ColdWindow",
            Self::PromotionHolds => "PromotionHolds",
            Self::Busy => "Busy",
            Self::Suspended => "Suspended",
        }
    }
}

/// A decision with all it came from; workers unless said otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Workers that there should be.
    pub desired: u32,
    /// The term or bound that decided.
    pub binding: Binding,
    /// What was seen.
    pub observation: Observation,
    /// Expected growth with its margin, in conversations.
    pub growth: f64,
    /// What load and growth need.
    pub needed: u32,
    /// Kept free on top.
    pub headroom: u32,
    /// What promotions ask for.
    pub plan: u32,
    /// The lowest allowed.
    pub floor: u32,
    /// The highest allowed.
    pub ceiling: u32,
    /// The most that was needed within the down window.
    pub needed_within_window: u32,
    /// What the active conversations fill.
    pub busy: u32,
}

impl Decision {
    /// What the load needs, with headroom.
    pub fn react(&self) -> u32 {
        self.needed.saturating_add(self.headroom)
    }
}

/// Decides how many workers there should be, and remembers it.
pub fn decide(
    policy: &Policy,
    observation: &Observation,
    bounds: &Bounds<'_>,
    history: &mut History,
    now: Moment,
) -> Decision {
    let growth = expected_growth(observation);
    let needed = workers_for(
        f64::from(observation.active) + f64::from(observation.waiting) + growth,
        policy.capacity,
    );
    let headroom = headroom(policy, needed);
    let plan = bounds.plans.iter().map(|plan| plan.floor).max().unwrap_or(0);
    let (floor, ceiling) = limits(policy, bounds, plan);
    let busy = workers_for(f64::from(observation.active), policy.capacity);

    let (wanted, binding) = if policy.suspended {
        (0, Binding::Suspended)
    } else {
        bounded(
            policy,
            observation,
            bounds,
            Terms {
                react: needed.saturating_add(headroom),
                plan,
                floor,
                ceiling,
                busy,
            },
        )
    };
    history.observe(now, wanted, observation.silent == 0, policy.down_window);
    let (desired, binding) = match held(policy, observation, bounds, history, now) {
        Some((hold, reason)) if hold > wanted && !policy.suspended => {
            let most = if reason == Binding::MissingData {
                u32::MAX
            } else {
                ceiling.max(wanted)
            };
            if most > wanted {
                (hold.min(most), reason)
            } else {
                (wanted, binding)
            }
        }
        _ => (wanted, binding),
    };
    history.decided(now, desired);
    Decision {
        desired,
        binding,
        observation: observation.clone(),
        growth,
        needed,
        headroom,
        plan,
        floor,
        ceiling,
        needed_within_window: history.needed_within(now, policy.down_window),
        busy,
    }
}

/// Workers that so many conversations fill.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and nothing here is negative"
)]
pub(super) fn workers_for(conversations: f64, capacity: u32) -> u32 {
    (conversations / f64::from(capacity.max(1))).ceil().max(0.0) as u32
}

fn expected_growth(observation: &Observation) -> f64 {
    let seconds = observation.start_time.as_secs_f64();
    let (arrivals, endings) = (
        observation.rates.arrivals.max(0.0),
        observation.rates.endings.max(0.0),
    );
    ((arrivals - endings) * seconds).max(0.0) + MARGIN_WIDTH * ((arrivals + endings) * seconds).sqrt()
}

fn headroom(policy: &Policy, needed: u32) -> u32 {
    let share = workers_for(f64::from(needed) * policy.headroom_percent / 100.0, 1);
    policy.headroom_workers.max(share)
}

fn limits(policy: &Policy, bounds: &Bounds<'_>, plan: u32) -> (u32, u32) {
    let floor = policy.min.max(plan);
    let ceiling = own_maximum(policy, bounds).min(bounds.tenant_share);
    bounds
        .manual
        .map_or((floor, ceiling), |manual| manual.apply(floor, ceiling))
}

fn own_maximum(policy: &Policy, bounds: &Bounds<'_>) -> u32 {
    bounds
        .plans
        .iter()
        .filter_map(|plan| plan.ceiling)
        .max()
        .map_or(policy.max, |ceiling| ceiling.max(policy.max))
}

struct Terms {
    react: u32,
    plan: u32,
    floor: u32,
    ceiling: u32,
    busy: u32,
}

/// What is wanted within the bounds, before anything holds it.
fn bounded(policy: &Policy, observation: &Observation, bounds: &Bounds<'_>, terms: Terms) -> (u32, Binding) {
    let Terms {
        react,
        plan,
        floor,
        ceiling,
        busy,
    } = terms;
    let wanted = react.max(floor);
    if wanted <= ceiling {
        let binding = if react > floor {
            Binding::Load
        } else if floor == plan && plan > policy.min {
            Binding::Promotion
        } else if floor == policy.min && !is_pin(bounds.manual) {
            if react == floor {
                Binding::Load
            } else {
                Binding::Minimum
            }
        } else {
            Binding::Override
        };
        return (wanted, binding);
    }
    let filled = busy.min(observation.have());
    if filled > ceiling {
        return (filled, Binding::Busy);
    }
    let binding = if ceiling == bounds.tenant_share && bounds.tenant_share < own_maximum(policy, bounds) {
        Binding::TenantLimit
    } else if ceiling == own_maximum(policy, bounds) {
        Binding::Maximum
    } else {
        Binding::Override
    };
    (ceiling, binding)
}

fn is_pin(manual: Option<Override>) -> bool {
    manual.is_some_and(|manual| manual.mode == super::OverrideMode::Pin)
}

/// The size below which the pool may not fall now, and why.
fn held(
    policy: &Policy,
    observation: &Observation,
    bounds: &Bounds<'_>,
    history: &History,
    now: Moment,
) -> Option<(u32, Binding)> {
    let have = observation.have();
    let window: Duration = policy.down_window;
    if observation.silent > 0 {
        return Some((have.max(history.last().unwrap_or(0)), Binding::MissingData));
    }
    if !bounds.plans.is_empty() {
        return Some((have, Binding::PromotionHolds));
    }
    if !history.is_warm(now, window) {
        return Some((have, Binding::ColdWindow));
    }
    let by_window = history.needed_within(now, window).min(have);
    let by_rate = history
        .lowest_by_rate(now, have, policy.max_down_percent_per_minute)
        .min(have);
    if by_window >= by_rate {
        Some((by_window, Binding::DownWindow))
    } else {
        Some((by_rate, Binding::DownRate))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OverrideMode, Plan, Rates};
    use super::*;

    fn policy() -> Policy {
        Policy {
            capacity: 20,
            min: 1,
            max: 10,
            headroom_workers: 0,
            headroom_percent: 0.0,
            down_window: Duration::from_secs(60),
            max_down_percent_per_minute: 50,
            suspended: false,
        }
    }

    fn observed(active: u32, ready: u32) -> Observation {
        Observation {
            active,
            ready,
            start_time: Duration::from_secs(8),
            ..Observation::default()
        }
    }

    fn free() -> Bounds<'static> {
        Bounds {
            manual: None,
            plans: &[],
            tenant_share: 400,
        }
    }

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    fn warm(policy: &Policy) -> History {
        let mut history = History::default();
        decide(policy, &observed(0, 0), &free(), &mut history, at(0));
        history
    }

    fn manual(mode: OverrideMode, workers: u32) -> Bounds<'static> {
        Bounds {
            manual: Override::new(mode, workers, jiff::Timestamp::UNIX_EPOCH, at(60)),
            ..free()
        }
    }

    #[test]
    fn the_load_is_met_at_once_and_what_starts_is_counted() {
        let mut observation = observed(41, 1);
        observation.starting = 2;
        let decision = decide(&policy(), &observation, &free(), &mut History::default(), at(0));
        assert_eq!((decision.desired, decision.binding), (3, Binding::Load));
        assert_eq!(decision.observation.have(), 3, "nothing more is asked for");
    }

    #[test]
    fn growth_is_the_net_arrivals_while_a_worker_starts_and_a_margin() {
        let observation = Observation {
            rates: Rates {
                arrivals: 5.0,
                endings: 3.0,
            },
            ..observed(0, 1)
        };
        let decision = decide(&policy(), &observation, &free(), &mut History::default(), at(0));
        assert!(
            (decision.growth - (16.0 + 1.5 * 8.0)).abs() < 1e-9,
            "{}",
            decision.growth
        );
        assert_eq!(decision.needed, 2);
    }

    #[test]
    fn bounds_name_themselves() {
        let mut high = Observation {
            waiting: 1_000,
            ..observed(20, 1)
        };
        let decided = |observation: &Observation, bounds: &Bounds<'_>| {
            let decision = decide(&policy(), observation, bounds, &mut warm(&policy()), at(100));
            (decision.desired, decision.binding)
        };
        assert_eq!(decided(&high, &free()), (10, Binding::Maximum));
        assert_eq!(
            decided(
                &high,
                &Bounds {
                    tenant_share: 4,
                    ..free()
                }
            ),
            (4, Binding::TenantLimit)
        );
        assert_eq!(
            decided(&high, &manual(OverrideMode::Ceiling, 3)),
            (3, Binding::Override)
        );
        assert_eq!(
            decided(&high, &manual(OverrideMode::Pin, 2)),
            (2, Binding::Override)
        );
        let plans = [Plan {
            promotion: "p".into(),
            floor: 30,
            ceiling: Some(40),
        }];
        assert_eq!(
            decided(
                &high,
                &Bounds {
                    plans: &plans,
                    ..free()
                }
            ),
            (40, Binding::Maximum)
        );
        high.waiting = 0;
        assert_eq!(
            decided(
                &high,
                &Bounds {
                    plans: &plans,
                    ..free()
                }
            ),
            (30, Binding::Promotion)
        );
        assert_eq!(decided(&observed(0, 1), &free()), (1, Binding::Minimum));
        assert_eq!(
            decided(&observed(0, 1), &manual(OverrideMode::Floor, 4)),
            (4, Binding::Override)
        );
    }

    #[test]
    fn active_conversations_keep_their_workers_above_a_ceiling() {
        let decision = decide(
            &policy(),
            &observed(61, 6),
            &manual(OverrideMode::Ceiling, 2),
            &mut warm(&policy()),
            at(100),
        );
        assert_eq!((decision.desired, decision.binding), (4, Binding::Busy));
    }

    #[test]
    fn nothing_leaves_before_the_window_is_warm_and_empty_of_need() {
        let mut history = History::default();
        let mut decided = |seconds, active, ready| {
            let decision = decide(
                &policy(),
                &observed(active, ready),
                &free(),
                &mut history,
                at(seconds),
            );
            (decision.desired, decision.binding)
        };
        assert_eq!(decided(0, 0, 8), (8, Binding::ColdWindow));
        assert_eq!(decided(59, 160, 8), (8, Binding::Load));
        assert_eq!(decided(100, 0, 8), (8, Binding::DownWindow));
        assert_eq!(decided(120, 0, 8), (4, Binding::DownRate));
        assert_eq!(decided(150, 0, 4), (4, Binding::DownRate));
        assert_eq!(decided(181, 0, 4), (2, Binding::DownRate));
    }

    #[test]
    fn missing_data_keeps_what_was_decided_even_when_workers_are_lost() {
        let mut history = warm(&policy());
        decide(&policy(), &observed(100, 5), &free(), &mut history, at(100));
        let silent = Observation {
            silent: 1,
            ..observed(20, 4)
        };
        let decision = decide(
            &policy(),
            &silent,
            &manual(OverrideMode::Ceiling, 1),
            &mut history,
            at(300),
        );
        assert_eq!((decision.desired, decision.binding), (5, Binding::MissingData));
    }

    #[test]
    fn a_suspended_pool_is_emptied_whatever_else_is_asked() {
        let suspended = Policy {
            suspended: true,
            ..policy()
        };
        let decision = decide(
            &suspended,
            &observed(100, 5),
            &manual(OverrideMode::Floor, 9),
            &mut History::default(),
            at(0),
        );
        assert_eq!((decision.desired, decision.binding), (0, Binding::Suspended));
    }
}
