//! The decision.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::forecast::Forecast;
use super::growth::{expected_growth, growth_with_gain};
use super::{Bounds, History, Moment, Observation, Override, Policy};

/// The term or bound that a decision came down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// What the load needs.
    Load,
    /// What the load is forecast to need.
    Forecast,
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
    /// The cluster is short of room: the tenant's share of it.
    FairShare,
    /// More was needed within the down window.
    DownWindow,
    /// No more may leave within this minute.
    DownRate,
    /// A worker or gateway is not heard: nothing leaves.
    MissingData,
    /// Workers are not heard any more, and customers wait for those that are: others are started for them.
    LostWorkers,
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
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Load,
        Self::Forecast,
        Self::Minimum,
        Self::Override,
        Self::Promotion,
        Self::Maximum,
        Self::TenantLimit,
        Self::FairShare,
        Self::DownWindow,
        Self::DownRate,
        Self::MissingData,
        Self::LostWorkers,
        Self::ColdWindow,
        Self::PromotionHolds,
        Self::Busy,
        Self::Suspended,
    ];

    /// The one of that text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|binding| binding.as_str() == text)
    }

    /// Text of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Load => "Load",
            Self::Forecast => "Forecast",
            Self::Minimum => "Minimum",
            Self::Override => "Override",
            Self::Promotion => "Promotion",
            Self::Maximum => "Maximum",
            Self::TenantLimit => "TenantLimit",
            Self::FairShare => "FairShare",
            Self::DownWindow => "DownWindow",
            Self::DownRate => "DownRate",
            Self::MissingData => "MissingData",
            Self::LostWorkers => "LostWorkers",
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
    /// The forecast, while one is trusted.
    pub forecast: Option<Forecast>,
    /// One that is not trusted, because what came was another or was too rarely compared: it asks for nothing.
    pub untrusted: Option<Forecast>,
    /// What it needs; 0 without one.
    pub forecast_needed: u32,
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
    /// What would be wanted if other tenants wanted nothing: within the pool's own bounds.
    pub demand: u32,
}

impl Decision {
    /// What the load needs, with headroom.
    pub fn react(&self) -> u32 {
        self.needed.saturating_add(self.headroom)
    }

    /// Load asks for more than there is, whatever bound decided how many it gets.
    pub fn is_for_load(&self) -> bool {
        self.react().max(self.forecast_needed) > self.observation.have()
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
    let load = f64::from(observation.active) + f64::from(observation.waiting);
    let Needs {
        growth,
        needed,
        headroom,
        forecast,
        untrusted,
        forecast_needed,
    } = needs(policy, observation, load, history, now);
    let react = needed.saturating_add(headroom);
    let plan = bounds.plans.iter().map(|plan| plan.floor).max().unwrap_or(0);
    let (floor, ceiling) = limits(policy, bounds, plan, bounds.tenant_share);
    let busy = workers_for(f64::from(observation.active), policy.capacity);
    let terms = Terms {
        react,
        forecast: forecast_needed,
        plan,
        floor,
        ceiling,
        busy,
    };
    let (wanted, binding) = if policy.suspended {
        (0, Binding::Suspended)
    } else {
        bounded(policy, observation, bounds, terms)
    };
    let bare = workers_for(load, policy.capacity).saturating_add(headroom);
    history.observe(
        now,
        (bare.max(floor).min(wanted), policy.down_window),
        (wanted, margin_window(policy, observation)),
        observation.silent == 0,
    );
    let (hold, reason) = held(policy, observation, bounds, history, now);
    let most = if reason == Binding::MissingData {
        u32::MAX
    } else {
        ceiling.min(bounds.kept_share).max(wanted)
    };
    let keeps = hold.min(most) > wanted && !policy.suspended;
    let (desired, binding) = if keeps {
        (hold.min(most), reason)
    } else {
        (wanted, binding)
    };
    let (desired, binding) = made_up_for(policy, observation, terms).map_or((desired, binding), |more| {
        if more > desired {
            (more, Binding::LostWorkers)
        } else {
            (desired, binding)
        }
    });
    history.decided(now, desired);
    Decision {
        desired,
        binding,
        observation: observation.clone(),
        growth,
        needed,
        headroom,
        forecast,
        untrusted,
        forecast_needed,
        plan,
        floor,
        ceiling,
        needed_within_window: history.needed_within(now, policy.down_window),
        busy,
        demand: demand(policy, bounds, terms),
    }
}

/// What the load needs, and is forecast to need.
struct Needs {
    growth: f64,
    needed: u32,
    headroom: u32,
    forecast: Option<Forecast>,
    untrusted: Option<Forecast>,
    forecast_needed: u32,
}

fn needs(policy: &Policy, observation: &Observation, load: f64, history: &mut History, now: Moment) -> Needs {
    let (rates, start, level) = (observation.rates, observation.start_time, policy.service_level);
    // Nothing is expected to more than double while one worker starts, unless a forecast that is trusted says so: what comes
    // faster shows as waiting at once.
    let doubled = load + f64::from(policy.capacity);
    let growth = expected_growth(rates, start, level).min(doubled);
    let needed = workers_for(load + growth, policy.capacity);
    let (forecast, untrusted) = history.forecast(now, load, observation);
    let forecast_needed = forecast.map_or(0, |forecast| {
        let growth = growth_with_gain(forecast.gain, rates, start, level);
        workers_for(load + growth.min(doubled).max(forecast.gain), policy.capacity)
    });
    Needs {
        growth,
        needed,
        headroom: headroom(policy, needed),
        forecast,
        untrusted,
        forecast_needed,
    }
}

/// What the load needs beside workers that are lost, which exist still, and may be heard again; none where nobody waits, for then
/// those that are heard can take it. So a leader that could not listen for a while makes up for nobody. Of a worker that it never
/// heard nothing is known, and it is not made up for either.
fn made_up_for(policy: &Policy, observation: &Observation, terms: Terms) -> Option<u32> {
    let needed = terms.react.max(terms.forecast);
    let heard = observation.have().saturating_sub(observation.lost);
    let waits = observation.waiting > 0 && needed > heard;
    (observation.lost > 0 && waits && !policy.suspended)
        .then(|| needed.saturating_add(observation.lost).min(terms.ceiling))
}

/// What would be wanted if other tenants wanted nothing.
fn demand(policy: &Policy, bounds: &Bounds<'_>, terms: Terms) -> u32 {
    if policy.suspended {
        return 0;
    }
    let (floor, ceiling) = limits(policy, bounds, terms.plan, u32::MAX);
    terms.react.max(terms.forecast).max(floor).min(ceiling)
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

fn headroom(policy: &Policy, needed: u32) -> u32 {
    let share = workers_for(f64::from(needed) * policy.headroom_percent / 100.0, 1);
    policy.headroom_workers.max(share)
}

fn limits(policy: &Policy, bounds: &Bounds<'_>, plan: u32, tenant_share: u32) -> (u32, u32) {
    let floor = policy.min.max(plan);
    let ceiling = own_maximum(policy, bounds).min(tenant_share);
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

#[derive(Clone, Copy)]
struct Terms {
    react: u32,
    forecast: u32,
    plan: u32,
    floor: u32,
    ceiling: u32,
    busy: u32,
}

/// What is wanted within the bounds, before anything holds it.
fn bounded(policy: &Policy, observation: &Observation, bounds: &Bounds<'_>, terms: Terms) -> (u32, Binding) {
    let Terms {
        react,
        forecast,
        plan,
        floor,
        ceiling,
        busy,
    } = terms;
    let needed = react.max(forecast);
    let wanted = needed.max(floor);
    if wanted <= ceiling {
        let binding = if needed > floor && forecast > react {
            Binding::Forecast
        } else if needed > floor {
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
        if bounds.scarce {
            Binding::FairShare
        } else {
            Binding::TenantLimit
        }
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

/// A margin that was asked for is kept for as long as a worker starts: growth that has not come until then does not come. It
/// is not kept for the whole down window, which is for what conversations needed.
fn margin_window(policy: &Policy, observation: &Observation) -> Duration {
    observation.start_time.min(policy.down_window)
}

/// The size below which the pool may not fall now, and why.
fn held(
    policy: &Policy,
    observation: &Observation,
    bounds: &Bounds<'_>,
    history: &History,
    now: Moment,
) -> (u32, Binding) {
    // What was decided stands, not what exists: a worker beyond it (one that takes another's place) raises nothing.
    let standing = history.last().unwrap_or(observation.have());
    let window: Duration = policy.down_window;
    if observation.silent > 0 {
        return (standing, Binding::MissingData);
    }
    if bounds.plans.iter().any(|plan| plan.keeps) {
        return (standing, Binding::PromotionHolds);
    }
    if !history.is_warm(now, window) {
        return (standing, Binding::ColdWindow);
    }
    let by_window = history
        .needed_within(now, window)
        .max(history.wanted_within(now, margin_window(policy, observation)))
        .min(standing);
    let by_rate = history
        .lowest_by_rate(now, policy.max_down_percent_per_minute)
        .min(standing);
    if by_window >= by_rate {
        (by_window, Binding::DownWindow)
    } else {
        (by_rate, Binding::DownRate)
    }
}
