//! Which files restore an instant, and which instants there are.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::ArchiveError;
use super::base::BaseManifest;
use super::folder::{ArchiveFolder, Contents, Reached};
use super::segment::{Next, SegmentHeader, SegmentReader, is_shorter};
use crate::digest::Digest;

/// A base, and how much of each segment from its own on.
pub(super) struct Plan {
    pub(super) number: u64,
    pub(super) base: BaseManifest,
    /// (segment, frames).
    pub(super) segments: Vec<(u64, u64)>,
    pub(super) page_size: u32,
    /// When the last of what is restored was seen to be committed.
    pub(super) last_change: Option<Timestamp>,
    /// When the last record was seen, and the one before that was seen earlier.
    seen: [Option<Timestamp>; 2],
    /// The end of the archive was cut off while it was written.
    pub(super) is_cut: bool,
}

/// Instants that can be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// The first.
    pub from: Timestamp,
    /// The last.
    pub until: Timestamp,
}

/// Reads all that is needed for an instant, and believes nothing that was changed. Without an instant, the newest that
/// there is.
pub(super) fn plan(
    folder: &ArchiveFolder,
    at: Option<Timestamp>,
    progress: &mut dyn FnMut(u64),
) -> Result<Plan, ArchiveError> {
    // First: what it speaks of is there by then, also while the archive is written.
    let reached = folder.reached()?;
    let contents = folder.contents()?;
    let (number, base) = base_for(folder, &contents, at)?;
    let mut plan = Plan {
        number,
        base,
        segments: Vec::new(),
        page_size: 0,
        last_change: None,
        seen: [None; 2],
        is_cut: false,
    };
    let last = contents.segments.last().copied().unwrap_or(number);
    let mut before: Option<Digest> = None;
    for number in number..=last {
        let Some(mut reader) = opened(folder, number, plan.provable())? else {
            let path = folder.segment(number).display().to_string();
            let (offset, until) = (0, plan.provable());
            return Err(ArchiveError::Damaged { path, offset, until });
        };
        if let Some(before) = before {
            match &reader.header.follows {
                Some(follows) if *follows == before.to_string() => {}
                Some(_) => {
                    let path = folder.segment(number).display().to_string();
                    let (offset, until) = (0, plan.provable());
                    return Err(ArchiveError::Damaged { path, offset, until });
                }
                None => return ended(plan, at, &reader.header, &contents),
            }
        }
        plan.page_size = reader.header.page_size;
        progress(number);
        let is_beyond = plan.take(&mut reader, at)?;
        if is_beyond {
            return Ok(plan);
        }
        before = Some(reader.written.digest);
        if number == last {
            check_end(reached, &plan, &reader, at)?;
        } else if plan.is_cut {
            let path = reader.path.display().to_string();
            let (offset, until) = (reader.written.length, plan.provable());
            return Err(ArchiveError::Damaged { path, offset, until });
        }
    }
    Ok(plan)
}

fn base_for(
    folder: &ArchiveFolder,
    contents: &Contents,
    at: Option<Timestamp>,
) -> Result<(u64, BaseManifest), ArchiveError> {
    let mut bases = contents.bases.iter();
    let (_, first) = bases
        .clone()
        .next()
        .ok_or_else(|| ArchiveError::Empty(folder.display()))?;
    let fitting = bases.rfind(|(_, base)| at.is_none_or(|at| base.usable_from <= at));
    let (number, base) = fitting.ok_or(ArchiveError::TooEarly(first.usable_from))?;
    Ok((*number, base.clone()))
}

fn opened(
    folder: &ArchiveFolder,
    number: u64,
    until: Option<Timestamp>,
) -> Result<Option<SegmentReader>, ArchiveError> {
    let path = folder.segment(number);
    if !path.exists() {
        let path = path.display().to_string();
        return Err(ArchiveError::Missing { path, until });
    }
    SegmentReader::open(path, number)
}

/// A line ended where the next one begins.
fn ended(
    plan: Plan,
    at: Option<Timestamp>,
    next: &SegmentHeader,
    contents: &Contents,
) -> Result<Plan, ArchiveError> {
    let whole_until = next.whole_until.max(plan.last_change);
    match (at, whole_until) {
        (Some(at), Some(from)) if at > from => {
            let next = contents.bases.range(next.number..).next();
            let until = next.map(|(_, base)| base.usable_from);
            Err(ArchiveError::Gap { from, until })
        }
        _ => Ok(plan),
    }
}

/// At the end of the archive: it may not be shorter than it was, and must reach the instant.
fn check_end(
    reached: Option<Reached>,
    plan: &Plan,
    reader: &SegmentReader,
    at: Option<Timestamp>,
) -> Result<(), ArchiveError> {
    let is_this = |reached: &Reached| reached.segment == reader.header.number;
    if reached.is_some_and(|reached| is_this(&reached) && is_shorter(reader, reached.bytes)) {
        let path = reader.path.display().to_string();
        let (offset, until) = (reader.written.length, plan.provable());
        return Err(ArchiveError::Damaged { path, offset, until });
    }
    let until = reached.map(|reached| reached.until).max(plan.last_change);
    let until = until.unwrap_or(plan.base.usable_from);
    match at {
        Some(at) if at > until => Err(ArchiveError::TooLate(until)),
        _ => Ok(()),
    }
}

impl Plan {
    /// The last instant of which it is known that no later file has anything of it: one later was seen.
    fn provable(&self) -> Option<Timestamp> {
        let first = self.base.usable_from;
        self.seen[0].filter(|last| *last > first)?;
        Some(self.seen[1].map_or(first, |before| before.max(first)))
    }

    /// Takes what was seen by the instant; whether what comes is beyond it.
    fn take(&mut self, reader: &mut SegmentReader, at: Option<Timestamp>) -> Result<bool, ArchiveError> {
        let (mut frames, mut whole) = (0, 0);
        let is_beyond = loop {
            let record = match reader.next()? {
                Next::Record(record) => record,
                Next::End => break false,
                Next::Cut => {
                    self.is_cut = true;
                    break false;
                }
                Next::Damaged { .. } => {
                    return Err(ArchiveError::Damaged {
                        path: reader.path.display().to_string(),
                        offset: reader.written.length,
                        until: self.provable(),
                    });
                }
            };
            if at.is_some_and(|at| record.seen_at > at) {
                break true;
            }
            if self.seen[0] != Some(record.seen_at) {
                self.seen = [Some(record.seen_at), self.seen[0]];
            }
            for frame in record.frames() {
                frames += 1;
                if frame.pages_of_database > 0 {
                    whole = frames;
                    self.last_change = Some(record.seen_at);
                }
            }
        };
        self.segments.push((reader.header.number, whole));
        Ok(is_beyond)
    }
}

/// The stretches of time that an archive can restore, the oldest first. Whether files are whole is not looked at.
pub fn reach(archive: &Path) -> Result<Vec<Stretch>, ArchiveError> {
    let folder = ArchiveFolder::new(archive);
    let contents = folder.contents()?;
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut is_open = false;
    for number in &contents.segments {
        let header = SegmentReader::open(folder.segment(*number), *number)?.map(|reader| reader.header);
        let Some(header) = header else { continue };
        if header.follows.is_none() {
            if let (true, Some(last), Some(until)) = (is_open, stretches.last_mut(), header.whole_until) {
                last.until = until.max(last.from);
            }
            is_open = false;
        }
        if let (false, Some(base)) = (is_open, contents.bases.get(number)) {
            stretches.push(Stretch {
                from: base.usable_from,
                until: base.usable_from,
            });
            is_open = true;
        }
    }
    if let (true, Some(last), Some(reached)) = (is_open, stretches.last_mut(), folder.reached()?) {
        last.until = reached.until.max(last.from);
    }
    if stretches.is_empty() {
        return Err(ArchiveError::Empty(folder.display()));
    }
    Ok(stretches)
}
