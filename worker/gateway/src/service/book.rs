//! Which minutes this gateway lived through, and what was counted in each. Pure: time is a parameter.
//!
//! A minute is *open* while turns of it may still end; then it is *closed*, and never changes. A turn that ends after its minute
//! was closed counts in the oldest open one: late, but not lost. A process that stood still (or a clock that jumped) reports
//! nothing for the minutes between: it did not serve in them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use springtide_proto::ids::{BootId, PoolId};
use springtide_runtime::spool::minutes::{MinuteCounts, SpooledMinute};

use super::Served;

const MINUTE: i64 = 60;

/// See the module.
#[derive(Debug)]
pub struct Book {
    boot_id: BootId,
    pools: Vec<PoolId>,
    close_after: i64,
    /// By the second at which each begins.
    minutes: BTreeMap<i64, BTreeMap<PoolId, Page>>,
    /// Minutes that begin before this are closed.
    open_from: i64,
}

/// One pool's counts of one minute.
#[derive(Clone, Copy, Debug, Default)]
struct Page {
    counts: MinuteCounts,
    /// What the spool has.
    kept: Option<(MinuteCounts, bool)>,
}

impl Book {
    /// An empty book of these pools; a minute is closed so long after its end.
    pub fn new(boot_id: BootId, pools: Vec<PoolId>, close_after: Duration) -> Self {
        Self {
            boot_id,
            pools,
            close_after: i64::try_from(close_after.as_secs()).unwrap_or(i64::MAX / 2),
            minutes: BTreeMap::new(),
            open_from: i64::MIN,
        }
    }

    /// This gateway serves at this instant.
    pub fn lived(&mut self, now: Timestamp) {
        let minute = minute_of(now);
        if minute >= self.open_from {
            self.page(minute);
        }
    }

    /// A turn that came at `arrived_at` ended.
    pub fn count(&mut self, pool: &PoolId, arrived_at: Timestamp, served: Served) {
        let minute = minute_of(arrived_at);
        let minute = if minute >= self.open_from {
            minute
        } else {
            let oldest = self.minutes.range(self.open_from..).next();
            oldest.map_or(self.open_from, |(oldest, _)| *oldest)
        };
        let counts = &mut self.page(minute).entry(pool.clone()).or_default().counts;
        match served {
            Served::Fast => (counts.good, counts.fast) = (counts.good + 1, counts.fast + 1),
            Served::Slow => (counts.good, counts.slow) = (counts.good + 1, counts.slow + 1),
            Served::Bad => counts.bad += 1,
        }
    }

    /// Closes the minutes of which every turn must have ended by now.
    pub fn close(&mut self, now: Timestamp) {
        // The minute of that instant has not ended yet; all before it have.
        let open_from = minute_of(now).min((now.as_second() - self.close_after).div_euclid(MINUTE) * MINUTE);
        self.open_from = self.open_from.max(open_from);
    }

    /// Closes all: nothing is counted after this.
    pub fn close_all(&mut self) {
        if let Some((last, _)) = self.minutes.last_key_value() {
            self.open_from = self.open_from.max(last + MINUTE);
        }
    }

    /// What the spool does not have as it stands.
    pub fn unkept(&self) -> Vec<SpooledMinute> {
        let pages = self
            .minutes
            .iter()
            .flat_map(|(minute, pages)| pages.iter().map(move |(pool, page)| (*minute, pool, page)));
        pages
            .filter(|(minute, _, page)| page.kept != Some((page.counts, *minute < self.open_from)))
            .filter_map(|(minute, pool, page)| {
                Some(SpooledMinute {
                    boot_id: self.boot_id.clone(),
                    pool: pool.clone(),
                    minute: Timestamp::from_second(minute).ok()?,
                    counts: page.counts,
                    closed: minute < self.open_from,
                })
            })
            .collect()
    }

    /// The spool has these; closed minutes that it has are left to it.
    pub fn kept(&mut self, minutes: &[SpooledMinute]) {
        for kept in minutes {
            let page = self
                .minutes
                .get_mut(&kept.minute.as_second())
                .and_then(|pages| pages.get_mut(&kept.pool));
            if let Some(page) = page {
                page.kept = Some((kept.counts, kept.closed));
            }
        }
        self.minutes.retain(|_, pages| {
            pages.values().any(|page| {
                page.kept
                    .is_none_or(|(counts, closed)| !closed || counts != page.counts)
            })
        });
    }

    fn page(&mut self, minute: i64) -> &mut BTreeMap<PoolId, Page> {
        let pools = &self.pools;
        self.minutes.entry(minute).or_insert_with(|| {
            let empty = pools.iter().map(|pool| (pool.clone(), Page::default()));
            empty.collect()
        })
    }
}

fn minute_of(instant: Timestamp) -> i64 {
    instant.as_second().div_euclid(MINUTE) * MINUTE
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSE_AFTER: Duration = Duration::from_secs(35);

    fn at(time: &str) -> Timestamp {
        format!("2026-11-11T{time}Z").parse().unwrap()
    }

    fn web() -> PoolId {
        PoolId::parse("web").unwrap()
    }

    fn book() -> Book {
        let pools = vec![web(), PoolId::parse("night").unwrap()];
        Book::new(BootId::parse("boot").unwrap(), pools, CLOSE_AFTER)
    }

    /// Takes what is unkept, as the spool would.
    fn keep(book: &mut Book) -> Vec<(String, String, [u64; 4], bool)> {
        let minutes = book.unkept();
        book.kept(&minutes);
        minutes
            .into_iter()
            .map(|minute| {
                let MinuteCounts {
                    good,
                    bad,
                    fast,
                    slow,
                } = minute.counts;
                let time = minute.minute.strftime("%H:%M").to_string();
                (
                    time,
                    minute.pool.to_string(),
                    [good, bad, fast, slow],
                    minute.closed,
                )
            })
            .collect()
    }

    fn row(time: &str, pool: &str, counts: [u64; 4], closed: bool) -> (String, String, [u64; 4], bool) {
        (time.to_owned(), pool.to_owned(), counts, closed)
    }

    #[test]
    fn each_minute_lived_is_closed_once_after_its_last_turn_must_have_ended_empty_ones_too() {
        let mut book = book();
        book.lived(at("10:00:30"));
        let empty = [
            row("10:00", "night", [0; 4], false),
            row("10:00", "web", [0; 4], false),
        ];
        assert_eq!(keep(&mut book), empty);
        book.count(&web(), at("10:00:31"), Served::Fast);
        book.count(&web(), at("10:00:59.9"), Served::Slow);
        book.count(&web(), at("10:00:40"), Served::Bad);
        assert_eq!(keep(&mut book), [row("10:00", "web", [2, 1, 1, 1], false)]);
        book.lived(at("10:01:34"));
        book.close(at("10:01:34"));
        assert!(keep(&mut book).iter().all(|(.., closed)| !closed));
        book.close(at("10:01:35"));
        let closed = [
            row("10:00", "night", [0; 4], true),
            row("10:00", "web", [2, 1, 1, 1], true),
        ];
        assert_eq!(keep(&mut book), closed);
        book.lived(at("10:01:36"));
        book.close(at("10:01:59"));
        assert_eq!(keep(&mut book), [], "once");
    }

    #[test]
    fn what_the_spool_did_not_take_is_offered_again_until_it_does() {
        let mut book = book();
        book.lived(at("10:00:00"));
        book.close(at("10:01:35"));
        let offered = book.unkept();
        assert_eq!(book.unkept(), offered);
        book.kept(&offered);
        assert_eq!(book.unkept(), []);
    }

    #[test]
    fn a_turn_that_ends_after_its_minute_was_closed_counts_in_the_oldest_open_one() {
        let mut book = book();
        book.lived(at("10:00:00"));
        book.lived(at("10:01:00"));
        book.lived(at("10:02:00"));
        book.close(at("10:02:00"));
        keep(&mut book);
        book.count(&web(), at("10:00:59"), Served::Fast);
        assert_eq!(keep(&mut book), [row("10:01", "web", [1, 0, 1, 0], false)]);
        book.close_all();
        keep(&mut book);
        book.count(&web(), at("10:00:59"), Served::Fast);
        assert_eq!(
            keep(&mut book).last(),
            Some(&row("10:03", "web", [1, 0, 1, 0], false))
        );
    }

    #[test]
    fn minutes_in_which_the_process_stood_still_are_not_reported() {
        let mut book = book();
        book.lived(at("10:00:59"));
        book.lived(at("10:10:00"));
        book.close(at("10:12:00"));
        let times: Vec<_> = keep(&mut book).into_iter().map(|(time, ..)| time).collect();
        assert_eq!(times, ["10:00", "10:00", "10:10", "10:10"]);
    }

    #[test]
    fn a_clock_that_goes_back_opens_no_closed_minute_again() {
        let mut book = book();
        book.lived(at("10:05:00"));
        book.close(at("10:07:00"));
        keep(&mut book);
        book.lived(at("10:05:30"));
        book.close(at("10:05:30"));
        assert_eq!(keep(&mut book), []);
    }

    #[test]
    fn at_the_end_all_minutes_are_closed_also_the_one_that_is_not_over() {
        let mut book = book();
        book.lived(at("10:00:00"));
        book.lived(at("10:01:10"));
        book.close_all();
        assert!(keep(&mut book).iter().all(|(.., closed)| *closed));
    }
}
