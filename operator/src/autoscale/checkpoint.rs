//! What is kept of a pool for the next leader, as bytes: what was learned, not what can be seen again.
//!
//! - *peak*: the highest load of a minute of the last hour. A minute is one of wall-clock time, for moments of two processes
//!   cannot be compared; a load counts for the minute that ends after it, so that none is forgotten early.
//!
//! Numbers big-endian. Version 2 has what version 1 has, and before it, as what was not measured is not kept: the hold time in
//! seconds (2 bytes) and the number of conversations that it was measured by (2 bytes).
//!
//! Version 1: the number of start times (1 byte), each in tenths of a second (2 bytes); the number of peaks
//! (1 byte), if there are any the minute of the newest (4 bytes, since 1970), of each, oldest first, how many minutes before
//! that it was (1 byte) and its load (4 bytes); then the baseline. A peak is left out where a later one is as high.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::baseline;
use super::history::WindowMaximum;
use super::hold_time::HoldTime;
use super::start_times::{self, StartTimes};
use super::{Baseline, BaselineLearner, Moment};

const VERSION: u8 = 1;
const VERSION_WITH_HOLD_TIME: u8 = 2;
const BYTES_OF_HOLD_TIME: usize = 4;
/// Loads are remembered for so long.
const SPAN: Duration = Duration::from_hours(1);
const MINUTE: i64 = 60_000;
/// The oldest peak is so many minutes before the newest.
const OLDEST_PEAK: u8 = 60;
const MOST_PEAKS: usize = OLDEST_PEAK as usize + 1;
const BYTES_OF_PEAK: usize = 5;

/// No checkpoint of a pool takes more bytes.
pub const MOST_CHECKPOINT_BYTES: usize = 1
    + BYTES_OF_HOLD_TIME
    + 1
    + start_times::KEPT * 2
    + 1
    + 4
    + MOST_PEAKS * BYTES_OF_PEAK
    + baseline::MOST_BYTES;

/// Bytes that are no checkpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// Written by another version.
    #[error("version {0} of a checkpoint is not known")]
    Version(u8),
    /// Something is missing at the end.
    #[error("the checkpoint is cut off")]
    CutOff,
    /// Numbers that no leader writes.
    #[error("the checkpoint has {0} that cannot be there")]
    Impossible(&'static str),
    /// The baseline in it is none.
    #[error("the baseline in the checkpoint is not understood")]
    Baseline(#[from] baseline::DecodeError),
}

/// What is learned of a pool, and cannot be seen again.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    /// How long starts took.
    pub starts: StartTimes,
    /// Load of the last hour.
    pub load: WindowMaximum,
    /// Load by the slots of the week.
    pub baseline: BaselineLearner,
    /// How long conversations last.
    pub hold: HoldTime,
}

/// [`Learned`], as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// In tenths of a second, oldest first.
    starts: Vec<u16>,
    /// Oldest first: minutes rise and loads fall.
    peaks: Vec<Peak>,
    baseline: Baseline,
    hold: Option<Hold>,
}

/// Minute since 1970, and load.
type Peak = (u32, u32);

impl Learned {
    /// What is kept of it, at this moment, which is that time.
    pub fn checkpoint(&self, now: Moment, time: Timestamp) -> Checkpoint {
        let mut peaks: Vec<Peak> = Vec::new();
        for (at, load) in self.load.samples().filter(|(_, load)| *load > 0) {
            // The first of a minute is its highest.
            if let Some(minute) = minute_after(now.saturating_sub(at), time)
                && peaks.last().is_none_or(|(last, _)| *last < minute)
            {
                peaks.push((minute, load));
            }
        }
        let newest = peaks.last().map_or(0, |(minute, _)| *minute);
        peaks.retain(|(minute, _)| newest - minute <= u32::from(OLDEST_PEAK));
        Checkpoint {
            starts: self.starts.measured().map(tenths).collect(),
            peaks,
            baseline: self.baseline.learned().as_ref().clone(),
            hold: whole(self.hold),
        }
    }

    /// Goes on from what an earlier leader kept; what was seen since then stays.
    pub fn resume(&mut self, kept: Checkpoint, now: Moment, time: Timestamp) {
        let Checkpoint {
            starts,
            peaks,
            baseline,
            hold,
        } = kept;
        let since = std::mem::take(self);
        let earlier = starts
            .into_iter()
            .map(|tenths| Duration::from_millis(u64::from(tenths) * 100));
        for taken in earlier.chain(since.starts.measured()) {
            self.starts.push(taken);
        }
        let earlier = peaks.into_iter().filter_map(|(minute, load)| {
            let age = age_of(minute, time).filter(|age| *age <= SPAN)?;
            Some((now.checked_sub(age)?, load))
        });
        for (at, load) in earlier.chain(since.load.samples()) {
            self.load.push(at, load, SPAN);
        }
        self.baseline = BaselineLearner::resume(baseline);
        self.hold = since.hold;
        if let Some((seconds, ended)) = hold {
            self.hold
                .add(HoldTime::of(Duration::from_secs(seconds.into()), ended.into()));
        }
    }
}

impl Checkpoint {
    /// Nothing was learned: there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As bytes, at most [`MOST_CHECKPOINT_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = match self.hold {
            None => vec![VERSION],
            Some((seconds, ended)) => {
                let parts = [seconds.to_be_bytes(), ended.to_be_bytes()];
                [&[VERSION_WITH_HOLD_TIME], parts.as_flattened()].concat()
            }
        };
        bytes.push(count(self.starts.len()));
        bytes.extend(self.starts.iter().flat_map(|tenths| tenths.to_be_bytes()));
        bytes.push(count(self.peaks.len()));
        if let Some((newest, _)) = self.peaks.last() {
            bytes.extend(newest.to_be_bytes());
            for (minute, load) in &self.peaks {
                bytes.push(u8::try_from(newest - minute).unwrap_or(OLDEST_PEAK));
                bytes.extend(load.to_be_bytes());
            }
        }
        bytes.extend(self.baseline.encode());
        bytes
    }

    /// From the bytes of [`Checkpoint::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let ([version], rest) = take(bytes)?;
        let (hold, rest) = match version {
            VERSION => (None, rest),
            VERSION_WITH_HOLD_TIME => decode_hold_time(rest)?,
            other => return Err(CheckpointError::Version(other)),
        };
        let (starts, rest) = decode_starts(rest)?;
        let (peaks, rest) = decode_peaks(rest)?;
        Ok(Self {
            starts,
            peaks,
            baseline: Baseline::decode(rest)?,
            hold,
        })
    }
}

/// Hold time in seconds, and by how many conversations it was measured.
type Hold = (u16, u16);

fn decode_hold_time(bytes: &[u8]) -> Result<(Option<Hold>, &[u8]), CheckpointError> {
    let (seconds, rest) = take(bytes)?;
    let (ended, rest) = take(rest)?;
    let hold = (u16::from_be_bytes(seconds), u16::from_be_bytes(ended));
    if hold.0 == 0 || hold.1 == 0 {
        return Err(CheckpointError::Impossible("a hold time"));
    }
    Ok((Some(hold), rest))
}

/// In whole numbers; none of less than one conversation.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and nothing here is negative"
)]
fn whole(hold: HoldTime) -> Option<Hold> {
    let (mean, ended) = hold.known();
    let seconds = u16::try_from(mean.as_secs()).unwrap_or(u16::MAX);
    (ended >= 1.0).then_some((seconds, ended as u16))
}

fn decode_starts(bytes: &[u8]) -> Result<(Vec<u16>, &[u8]), CheckpointError> {
    let ([count], mut rest) = take(bytes)?;
    if usize::from(count) > start_times::KEPT {
        return Err(CheckpointError::Impossible("so many starts"));
    }
    let mut starts = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let (tenths, more) = take(rest)?;
        starts.push(u16::from_be_bytes(tenths));
        rest = more;
    }
    Ok((starts, rest))
}

fn decode_peaks(bytes: &[u8]) -> Result<(Vec<Peak>, &[u8]), CheckpointError> {
    let ([count], mut rest) = take(bytes)?;
    let mut peaks: Vec<Peak> = Vec::new();
    if count == 0 {
        return Ok((peaks, rest));
    }
    let (newest, more) = take(rest)?;
    let newest = u32::from_be_bytes(newest);
    rest = more;
    for left in (0..count).rev() {
        let ([before], more) = take(rest)?;
        let (load, more) = take(more)?;
        let load = u32::from_be_bytes(load);
        let falls = peaks
            .last()
            .is_none_or(|(minute, higher)| *minute < newest.saturating_sub(before.into()) && *higher > load);
        // The newest is the last, and none but it.
        if !falls
            || load == 0
            || before > OLDEST_PEAK
            || u32::from(before) > newest
            || (before == 0) != (left == 0)
        {
            return Err(CheckpointError::Impossible("a peak"));
        }
        peaks.push((newest - u32::from(before), load));
        rest = more;
    }
    Ok((peaks, rest))
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), CheckpointError> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(CheckpointError::CutOff)?;
    Ok((*taken, rest))
}

fn count(of: usize) -> u8 {
    u8::try_from(of).unwrap_or(u8::MAX)
}

fn tenths(taken: Duration) -> u16 {
    u16::try_from(taken.as_millis().div_ceil(100)).unwrap_or(u16::MAX)
}

/// The minute that ended after what was seen so long before `time`.
fn minute_after(age: Duration, time: Timestamp) -> Option<u32> {
    let seen = time.checked_sub(SignedDuration::try_from(age).ok()?).ok()?;
    u32::try_from((seen.as_millisecond() + MINUTE - 1).div_euclid(MINUTE)).ok()
}

/// How long ago a minute ended; one that has not ended is now.
fn age_of(minute: u32, time: Timestamp) -> Option<Duration> {
    let ended = Timestamp::from_millisecond(i64::from(minute) * MINUTE).ok()?;
    Some(Duration::try_from(time.duration_since(ended)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests;
