//! Time as this tool needs it: how long a step took, and waiting until something is so.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Measures from its creation.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "a developer tool measures its own steps"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// What one look at something awaited says.
pub(crate) enum Look {
    /// It is so.
    Ready,
    /// Not yet, and what was seen instead.
    NotYet(String),
}

impl Look {
    /// Ready once an attempt works.
    pub(crate) fn tried<T>(attempt: Result<T>) -> Self {
        attempt.map_or_else(|error| Self::NotYet(format!("{error:#}")), |_| Self::Ready)
    }

    /// Ready once this holds.
    pub(crate) fn holds(ready: bool) -> Self {
        if ready {
            Self::Ready
        } else {
            Self::NotYet(String::new())
        }
    }
}

/// Looks again and again, at most `limit` long; an error of the look ends the wait at once.
pub(crate) fn wait_until(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Look>) -> Result<()> {
    let watch = Stopwatch::start();
    loop {
        let Look::NotYet(seen) = look()? else {
            return Ok(());
        };
        if watch.elapsed() > limit {
            bail!(
                "waited {} s for {what}, in vain; last seen: {seen}",
                limit.as_secs()
            );
        }
        sleep(Duration::from_millis(100));
    }
}

/// `7.4 s`, or `3 min 05 s` from two minutes on.
pub(crate) fn readable(took: Duration) -> String {
    let seconds = took.as_secs();
    if seconds < 120 {
        return format!("{:.1} s", took.as_secs_f64());
    }
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(readable(Duration::from_millis(7_420)), "7.4 s");
        assert_eq!(readable(Duration::from_secs(185)), "3 min 05 s");
    }

    #[test]
    fn waiting_gives_up_and_says_for_what() {
        let error = wait_until("the tide", Duration::ZERO, || Ok(Look::NotYet("ebb".into())));
        let text = error.expect_err("never ready").to_string();
        assert!(text.contains("the tide") && text.contains("ebb"), "{text}");
    }
}
