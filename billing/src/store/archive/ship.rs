//! Brings committed frames into the archive. All of it blocks; nothing here touches the database.

use std::fs::File;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use springtide_runtime::clock::Clock;

use super::base::{self, BaseManifest, Copied};
use super::folder::{ArchiveFolder, Contents, Reached};
use super::segment::{MOST_HEADER, Next, SegmentHeader, SegmentReader, SegmentWriter, remove};
use super::wal::Wal;
use super::{ArchiveError, at};

/// How often it says how far it came.
const SAY_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// What came of looking for frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shipped {
    /// All that was committed by then is in the archive.
    Whole(Timestamp),
    /// Nobody knows what was written meanwhile, and why.
    Lost(&'static str),
}

/// The one writer of an archive.
pub(super) struct Shipper {
    folder: ArchiveFolder,
    wal: PathBuf,
    /// `None` before a line begins.
    segment: Option<SegmentWriter>,
    last_number: u64,
    whole_until: Option<Timestamp>,
    /// How far it said that it came.
    said: Option<Timestamp>,
    /// Bytes of segments since the newest base.
    pub(super) bytes_since_base: u64,
    pub(super) newest_base: Option<(u64, Timestamp)>,
    _lock: File,
}

impl Shipper {
    /// Takes the folder, and finds out how far a process before came.
    pub(super) fn open(folder: &Path, wal: PathBuf) -> Result<Self, ArchiveError> {
        let folder = ArchiveFolder::new(folder);
        let lock = folder.take()?;
        folder.clean()?;
        let mut contents = folder.contents()?;
        if let Some(last) = contents.segments.last().copied()
            && was_never_begun(&folder.segment(last))?
        {
            contents.segments.remove(&last);
        }
        let last_number = contents.segments.last().copied().unwrap_or_default();
        let segment = match last_number {
            0 => None,
            number => reopened(folder.segment(number), number)?,
        };
        let seen = segment.as_ref().map(|segment| segment.written.seen_at);
        let whole_until = folder.reached()?.map(|reached| reached.until).max(seen);
        let newest_base = contents.bases.last_key_value();
        let newest_base = newest_base.map(|(number, base)| (*number, base.usable_from));
        let newest_base = match newest_base {
            Some((number, _)) if !is_of_the_last_line(&folder, &contents, number)? => None,
            found => found,
        };
        let mut shipper = Self {
            bytes_since_base: bytes_since(&folder, &contents, newest_base.map(|(number, _)| number))?,
            folder,
            wal,
            segment: None,
            last_number,
            whole_until,
            said: None,
            newest_base,
            _lock: lock,
        };
        shipper.segment = segment.filter(|segment| shipper.goes_on_after(segment).unwrap_or(false));
        Ok(shipper)
    }

    /// Whether the log is the one that a segment was written from. One that was restarted since is looked at when frames are.
    fn goes_on_after(&self, segment: &SegmentWriter) -> std::io::Result<bool> {
        let Some(wal) = Wal::open(&self.wal)? else {
            return Ok(false);
        };
        if wal.header.salts == segment.header.salts {
            return wal.has(segment.written.place);
        }
        Ok(true)
    }

    /// Brings what was committed since the last time; durable when it returns.
    pub(super) fn ship(&mut self, clock: &dyn Clock) -> Result<Shipped, ArchiveError> {
        let before = clock.now();
        let wal = Wal::open(&self.wal).map_err(at(&self.wal))?;
        let Some(mut segment) = self.segment.take() else {
            return Ok(Shipped::Lost("no segment goes on"));
        };
        let Some(wal) = wal else {
            return Ok(Shipped::Lost("the write-ahead log is gone"));
        };
        if wal.header.salts != segment.header.salts {
            let is_next = wal.header.salts.are_next_to(segment.header.salts);
            if !(is_next && segment.written.is_restartable) {
                return Ok(Shipped::Lost(
                    "the write-ahead log was restarted by another program",
                ));
            }
            let follows = Some(segment.written.digest);
            let header = SegmentHeader::new(self.last_number + 1, &wal, follows, None);
            let next = self.create(header, before);
            if next.is_err() {
                self.segment = Some(segment);
            }
            segment = next?;
        }
        let shipped = self.ship_from(&mut segment, &wal, clock);
        let written = segment.written;
        self.segment = Some(segment);
        shipped?;
        let until = self.whole_until.map_or(before, |until| until.max(before));
        self.whole_until = Some(until);
        if self
            .said
            .is_none_or(|said| until.duration_since(said) >= SAY_EVERY)
        {
            self.folder.write_reached(Reached {
                until,
                segment: self.last_number,
                bytes: written.length,
            })?;
            self.said = Some(until);
        }
        Ok(Shipped::Whole(until))
    }

    /// The same for the last time: its word of how far it came is exact.
    pub(super) fn finish(&mut self, clock: &dyn Clock) -> Result<Shipped, ArchiveError> {
        self.said = None;
        self.ship(clock)
    }

    fn ship_from(
        &mut self,
        segment: &mut SegmentWriter,
        wal: &Wal,
        clock: &dyn Clock,
    ) -> Result<(), ArchiveError> {
        let from = segment.written;
        let to = wal.committed(from.place).map_err(at(&self.wal))?;
        if to.frames > from.place.frames {
            // After the look: what it found was committed by now.
            segment.append(wal, to, clock.now())?;
            self.bytes_since_base += segment.written.length - from.length;
        }
        Ok(())
    }

    /// Begins a line with the log as it is. It can restore something when it has a base.
    pub(super) fn begin_line(&mut self, now: Timestamp) -> Result<bool, ArchiveError> {
        let Some(wal) = Wal::open(&self.wal).map_err(at(&self.wal))? else {
            return Ok(false);
        };
        let header = SegmentHeader::new(self.last_number + 1, &wal, None, self.whole_until);
        self.segment = Some(self.create(header, now)?);
        self.newest_base = None;
        self.bytes_since_base = 0;
        Ok(true)
    }

    fn create(&mut self, header: SegmentHeader, now: Timestamp) -> Result<SegmentWriter, ArchiveError> {
        let number = header.number;
        let segment = SegmentWriter::create(self.folder.segment(number), header, now)?;
        self.folder.sync()?;
        self.last_number = number;
        Ok(segment)
    }

    /// Forgets how far it came: the database has more frames than the archive, or fewer.
    pub(super) fn lose(&mut self) {
        self.segment = None;
    }

    /// The segment that is written now, and how many frames it has.
    pub(super) fn now(&self) -> Option<(u64, u64)> {
        let segment = self.segment.as_ref()?;
        Some((segment.header.number, segment.written.place.frames))
    }

    /// The number that the next line will have.
    pub(super) fn next_number(&self) -> u64 {
        self.last_number + 1
    }

    pub(super) fn page_size(&self) -> u64 {
        self.segment
            .as_ref()
            .map_or(0, |segment| u64::from(segment.header.page_size))
    }

    pub(super) fn append_restartable(&mut self, now: Timestamp) -> Result<(), ArchiveError> {
        match &mut self.segment {
            Some(segment) => segment.append_restartable(now),
            None => Ok(()),
        }
    }

    pub(super) fn unfinished_base(&self, number: u64) -> PathBuf {
        self.folder.unfinished_base(number)
    }

    /// What was copied becomes a base, if its line still goes on.
    pub(super) fn finish_base(
        &mut self,
        number: u64,
        copied: Copied,
        usable_from: Timestamp,
    ) -> Result<bool, ArchiveError> {
        if self.now().is_none_or(|(current, _)| current != number) {
            remove(&self.folder.unfinished_base(number))?;
            return Ok(false);
        }
        let manifest = BaseManifest {
            version: base::VERSION,
            bytes: copied.bytes,
            sha256: copied.sha256,
            usable_from,
        };
        self.folder.finish_base(number, &manifest)?;
        self.newest_base = Some((number, usable_from));
        self.bytes_since_base = 0;
        Ok(true)
    }

    /// Removes what no instant from `oldest` on needs. A base goes before the segments that it needs.
    pub(super) fn prune(&self, oldest: Timestamp) -> Result<usize, ArchiveError> {
        let (bases, segments) = self.folder.contents()?.not_needed_since(oldest);
        for base in &bases {
            self.folder.remove_base(*base)?;
        }
        for segment in &segments {
            remove(&self.folder.segment(*segment))?;
        }
        Ok(bases.len() + segments.len())
    }
}

/// A machine died before a segment's first line was durable: nothing relied on it.
fn was_never_begun(path: &Path) -> Result<bool, ArchiveError> {
    let bytes = std::fs::metadata(path).map_err(at(path))?.len();
    let is_begun = bytes > MOST_HEADER || std::fs::read(path).map_err(at(path))?.contains(&b'\n');
    if !is_begun {
        remove(path)?;
    }
    Ok(!is_begun)
}

/// The last segment, if all of it was written, but for what was being written when the machine died.
fn reopened(path: PathBuf, number: u64) -> Result<Option<SegmentWriter>, ArchiveError> {
    let Some(mut reader) = SegmentReader::open(path, number)? else {
        return Ok(None);
    };
    loop {
        match reader.next()? {
            Next::Record(_) => {}
            Next::End | Next::Cut | Next::Damaged { is_last: true } => break,
            Next::Damaged { is_last: false } => {
                tracing::error!(
                    path = %reader.path.display(), offset = reader.written.length,
                    "a segment of the archive is damaged; a new line begins"
                );
                return Ok(None);
            }
        }
    }
    let SegmentReader {
        path,
        header,
        written,
        ..
    } = reader;
    SegmentWriter::reopen(path, header, written).map(Some)
}

/// Whether no line began since a base.
fn is_of_the_last_line(folder: &ArchiveFolder, contents: &Contents, base: u64) -> Result<bool, ArchiveError> {
    for number in contents.segments.range(base + 1..).rev() {
        let reader = SegmentReader::open(folder.segment(*number), *number)?;
        if reader.is_none_or(|reader| reader.header.follows.is_none()) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn bytes_since(folder: &ArchiveFolder, contents: &Contents, base: Option<u64>) -> Result<u64, ArchiveError> {
    let mut bytes = 0;
    for number in contents.segments.range(base.unwrap_or_default()..) {
        let path = folder.segment(*number);
        bytes += std::fs::metadata(&path).map_err(at(&path))?.len();
    }
    Ok(bytes)
}
