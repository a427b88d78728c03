//! When complaints about one topic are a burst. Pure.
//!
//! Of a topic, *n* is the number of complaints in a window of 15 minutes that ends with one of them, and *m* their number in the
//! seven days before the window. Where nothing is wrong, n is about Poisson distributed, with the mean that those days had:
//! λ = m / 672, as seven days are 672 windows. It is taken to be at least 1/4, a complaint an hour, so that a topic of which
//! nobody complained yet is no burst at its first ones. The window is *striking* if n ≥ 5 and P(X ≥ n) < 1/10,000 for X of
//! mean λ.
//!
//! A *burst* is one striking window after another: it goes on while the next ends within 15 minutes of the last, and is over
//! when none did. The times are those at which customers rated, so that what billing hears late is no burst for coming all at
//! once, nor hidden by having come late.
//!
//! The probability is a float: it is compared with a bound and never becomes an amount, and what lies within its last digits of
//! the bound may as well be striking as not.

use jiff::{SignedDuration, Timestamp};

use crate::rating::number::Exact;

/// Length of a window.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(15);
/// What comes before a window and says what is usual.
pub const BEFORE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Windows in that.
const WINDOWS_BEFORE: u32 = 672;
/// Fewer complaints than these are no burst.
pub const FEWEST: u64 = 5;
/// Complaints in the days before that are taken for the fewest: of each window 1/4.
const FEWEST_BEFORE: u64 = 168;
/// What is rarer is striking.
const RARE: f64 = 1e-4;

/// Complaints about one topic that came in a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// The first complaint of its first window.
    pub first_at: Timestamp,
    /// The last complaint with which a window was striking.
    pub last_at: Timestamp,
    /// How many there are from the first to the last.
    pub complaints: u64,
    /// How many there were in the seven days before its first window.
    pub before: u64,
}

/// What complaints come to, beside what was known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The burst that was known goes on.
    pub goes_on: Option<Burst>,
    /// Others, in the order of time.
    pub new: Vec<Burst>,
}

/// How many complaints a window has where all is as in the days before, for people.
pub fn expected(before: u64) -> Exact {
    let before = Exact::from_count(before.max(FEWEST_BEFORE));
    let windows = Exact::from_count(WINDOWS_BEFORE.into());
    // Of a count and a constant: nothing overflows.
    let hundredths = before.quotient_rounded(windows, 2).unwrap_or(i128::MAX);
    Exact::new(hundredths, 2)
}

/// The window with so many complaints is striking after so many in the days before.
pub fn is_striking(complaints: u64, before: u64) -> bool {
    let expected = before.max(FEWEST_BEFORE) as f64 / f64::from(WINDOWS_BEFORE);
    complaints >= FEWEST && is_rare(complaints, expected)
}

/// P(X ≥ `count`) < [`RARE`] for X of the Poisson distribution with that mean.
fn is_rare(count: u64, mean: f64) -> bool {
    let mut number = count as f64;
    if number <= mean {
        return false;
    }
    let mut term = (number * mean.ln() - mean - ln_factorial(count)).exp();
    let mut tail = 0.0;
    // Each term is smaller than the one before, by more and more.
    loop {
        tail += term;
        if tail >= RARE {
            return false;
        }
        number += 1.0;
        term *= mean / number;
        if term <= tail * 1e-12 {
            return true;
        }
    }
}

/// The logarithm of n!, by Stirling's series where that is exact to all that is needed.
fn ln_factorial(n: u64) -> f64 {
    if n < 32 {
        return (2..=n).map(|factor| (factor as f64).ln()).sum();
    }
    let n = n as f64;
    n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3))
}

/// Bursts in the complaints about a topic, whose times come sorted and go back [`WINDOW`] and [`BEFORE`] from `since`; windows
/// that end earlier than `since` were looked at before. `known` is the last burst that was found then.
pub fn find(times: &[Timestamp], since: Timestamp, known: Option<Burst>) -> Found {
    let mut found = Found::default();
    let mut last = known;
    let first = times.partition_point(|time| *time < since);
    for (position, at) in times.iter().copied().enumerate().skip(first) {
        if last.is_some_and(|last| at <= last.last_at) {
            continue;
        }
        let window = Window::ending_at(times, position);
        if !is_striking(window.complaints, window.before) {
            continue;
        }
        let goes_on = last.filter(|last| at.duration_since(last.last_at) <= WINDOW);
        let burst = match goes_on {
            Some(burst) => Burst {
                last_at: at,
                complaints: number_within(times, burst.first_at, at),
                ..burst
            },
            None => Burst {
                first_at: window.first_at,
                last_at: at,
                complaints: window.complaints,
                before: window.before,
            },
        };
        match (goes_on, found.new.last_mut()) {
            (None, _) => found.new.push(burst),
            (Some(_), Some(new)) => *new = burst,
            (Some(_), None) => found.goes_on = Some(burst),
        }
        last = Some(burst);
    }
    found
}

/// The burst is over by then.
pub fn is_over(last_at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(last_at) > WINDOW
}

struct Window {
    first_at: Timestamp,
    complaints: u64,
    before: u64,
}

impl Window {
    /// That ends with the complaint at that position.
    fn ending_at(times: &[Timestamp], position: usize) -> Self {
        let at = times[position];
        let back = |span| at.saturating_sub(span).unwrap_or(Timestamp::MIN);
        let start = back(WINDOW);
        let starts = times.partition_point(|time| *time <= start);
        let days_before = start.saturating_sub(BEFORE).unwrap_or(Timestamp::MIN);
        let days_start = times.partition_point(|time| *time <= days_before);
        let end = times.partition_point(|time| *time <= at);
        Self {
            first_at: times.get(starts).copied().unwrap_or(at),
            complaints: count(end - starts),
            before: count(starts - days_start),
        }
    }
}

fn number_within(times: &[Timestamp], from: Timestamp, to: Timestamp) -> u64 {
    let end = times.partition_point(|time| *time <= to);
    count(end - times.partition_point(|time| *time < from).min(end))
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
