//! A new database file from an archive.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::base::copy;
use super::folder::ArchiveFolder;
use super::plan::{Plan, plan};
use super::segment::{Next, SegmentReader, remove};
use super::{ArchiveError, at};

/// Where SQLite's file says that it is archived; see [`crate::store::sqlite`].
const USER_VERSION_AT: u64 = 60;

/// What goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A segment is being checked.
    Checking(u64),
    /// So many bytes of the base are copied.
    Copying(u64),
    /// So many of so many segments are written over it.
    Writing(usize, usize),
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// When the base was made that it began with.
    pub base: Timestamp,
    /// When its last change was seen to be committed; `None` if there is none since.
    pub last_change: Option<Timestamp>,
    /// Frames that were written over the base.
    pub frames: u64,
    /// The archive's last record was cut off: a machine died while it was written, and nothing relied on it.
    pub is_cut: bool,
}

/// Makes a database file as it was at an instant, or as it was last. The file must not be there, nor what SQLite puts beside.
pub fn restore(
    archive: &Path,
    instant: Option<Timestamp>,
    to: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Restored, ArchiveError> {
    for end in ["", "-wal", "-shm", "-journal"] {
        let path = beside(to, end);
        if path.exists() {
            return Err(ArchiveError::Exists(path.display().to_string()));
        }
    }
    let folder = ArchiveFolder::new(archive);
    let plan = plan(&folder, instant, &mut |number| {
        progress(Progress::Checking(number));
    })?;
    let unfinished = beside(to, ".part");
    let written = write(&folder, &plan, &unfinished, progress);
    if written.is_err() {
        remove(&unfinished)?;
    }
    let frames = written?;
    fs::rename(&unfinished, to).map_err(at(to))?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))
        .and_then(|parent| parent.sync_all())
        .map_err(at(to))?;
    Ok(Restored {
        base: plan.base.usable_from,
        last_change: plan.last_change,
        frames,
        is_cut: plan.is_cut,
    })
}

pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn write(
    folder: &ArchiveFolder,
    plan: &Plan,
    to: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<u64, ArchiveError> {
    let path = folder.base(plan.number);
    let base = File::open(&path).map_err(at(&path))?;
    let copied = copy(&base, to, |bytes| {
        progress(Progress::Copying(bytes));
        true
    })?;
    if (copied.bytes, &copied.sha256) != (plan.base.bytes, &plan.base.sha256) {
        return Err(ArchiveError::Damaged {
            path: path.display().to_string(),
            offset: 0,
            until: None,
        });
    }
    let file = File::options().write(true).open(to).map_err(at(to))?;
    let (mut all, mut pages) = (0, None);
    for (position, (number, frames)) in plan.segments.iter().enumerate() {
        progress(Progress::Writing(position + 1, plan.segments.len()));
        pages = write_segment(folder, *number, *frames, &file, to)?.or(pages);
        all += frames;
    }
    if let Some(pages) = pages {
        file.set_len(u64::from(pages) * u64::from(plan.page_size))
            .map_err(at(to))?;
    }
    file.write_all_at(&[0; 4], USER_VERSION_AT)
        .and_then(|()| file.sync_all())
        .map_err(at(to))?;
    Ok(all)
}

/// Writes so many frames of a segment; how many pages the database has after them.
fn write_segment(
    folder: &ArchiveFolder,
    number: u64,
    frames: u64,
    file: &File,
    to: &Path,
) -> Result<Option<u32>, ArchiveError> {
    let path = folder.segment(number);
    let changed = || at(&path)(io::Error::other("it changed while it was read"));
    let mut reader = SegmentReader::open(path.clone(), number)?.ok_or_else(changed)?;
    let page_size = u64::from(reader.header.page_size);
    let (mut left, mut pages) = (frames, None);
    while left > 0 {
        let Next::Record(record) = reader.next()? else {
            return Err(changed());
        };
        for frame in record.frames() {
            if left == 0 {
                break;
            }
            let offset = u64::from(frame.page.saturating_sub(1)) * page_size;
            file.write_all_at(frame.data, offset).map_err(at(to))?;
            if frame.pages_of_database > 0 {
                pages = Some(frame.pages_of_database);
            }
            left -= 1;
        }
    }
    Ok(pages)
}
