//! A segment's file: a line of JSON that says whose it is, then *records*.
//!
//! A record is a head (kind, number of frames, the instant by which they were seen to be committed, the log's checksum after
//! them), its frames (page, pages of the database, contents), and a SHA-256 over all that and the SHA-256 before: of the record
//! before it, or of the line of JSON, which has that of the segment before. The last record may be cut off, where a machine
//! died: it counts as never written.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::wal::{Checksum, Frame, Place, Salts, Wal};
use super::{ArchiveError, at};
use crate::digest::Digest;

const VERSION: u32 = 1;
const HEAD: usize = 21;
const DIGEST: usize = 32;
const FRAME_HEAD: usize = 8;
const FRAMES: u8 = 1;
/// The log may be restarted by now: all before is here and in the database's file.
const RESTARTABLE: u8 = 2;
/// Bytes of pages in a record, at most.
const MOST_BYTES: usize = 4 << 20;
/// The longest line of JSON.
pub(super) const MOST_HEADER: u64 = 4096;

/// Whose frames they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SegmentHeader {
    version: u32,
    pub(super) number: u64,
    pub(super) page_size: u32,
    pub(super) salts: Salts,
    /// The log's, before its first frame.
    pub(super) checksum: Checksum,
    /// What the segment before ended with. Without it a line begins.
    pub(super) follows: Option<String>,
    /// Until when the line before was whole.
    pub(super) whole_until: Option<Timestamp>,
}

impl SegmentHeader {
    pub(super) fn new(
        number: u64,
        wal: &Wal,
        follows: Option<Digest>,
        whole_until: Option<Timestamp>,
    ) -> Self {
        Self {
            version: VERSION,
            number,
            page_size: wal.header.page_size,
            salts: wal.header.salts,
            checksum: wal.header.start().checksum,
            follows: follows.map(|digest| digest.to_string()),
            whole_until,
        }
    }

    fn page_bytes(&self) -> usize {
        usize::try_from(self.page_size).unwrap_or(usize::MAX)
    }

    /// Frames in a record, at most.
    fn most_frames(&self) -> usize {
        (MOST_BYTES / self.page_bytes().max(1)).max(1)
    }
}

fn chained(before: &[u8], parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(before);
    for part in parts {
        context.update(part);
    }
    Digest::try_from(context.finish().as_ref()).unwrap_or_else(|_| Digest::of(&[]))
}

/// How far a segment is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// Bytes.
    pub(super) length: u64,
    pub(super) digest: Digest,
    pub(super) place: Place,
    /// Of the last record; the time only goes forward.
    pub(super) seen_at: Timestamp,
    pub(super) is_restartable: bool,
}

/// A segment that is being written. What is not synced is not counted, and is written again.
pub(super) struct SegmentWriter {
    path: PathBuf,
    file: File,
    pub(super) header: SegmentHeader,
    pub(super) written: Written,
}

impl SegmentWriter {
    pub(super) fn create(path: PathBuf, header: SegmentHeader, now: Timestamp) -> Result<Self, ArchiveError> {
        let mut line = serde_json::to_vec(&header).map_err(|error| at(&path)(error.into()))?;
        line.push(b'\n');
        // One that is there was made by an attempt that ended before anything relied on it.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(at(&path))?;
        file.write_all_at(&line, 0)
            .and_then(|()| file.sync_all())
            .map_err(at(&path))?;
        let written = Written {
            length: line.len() as u64,
            digest: chained(&[], &[&line]),
            place: Place {
                frames: 0,
                checksum: header.checksum,
            },
            seen_at: now,
            is_restartable: false,
        };
        Ok(Self {
            path,
            file,
            header,
            written,
        })
    }

    /// Goes on with one that a process before wrote; what follows its last whole record is cut off.
    pub(super) fn reopen(
        path: PathBuf,
        header: SegmentHeader,
        written: Written,
    ) -> Result<Self, ArchiveError> {
        let file = OpenOptions::new().write(true).open(&path).map_err(at(&path))?;
        file.set_len(written.length)
            .and_then(|()| file.sync_all())
            .map_err(at(&path))?;
        Ok(Self {
            path,
            file,
            header,
            written,
        })
    }

    /// The log's frames up to there, durable when it returns.
    pub(super) fn append(&mut self, wal: &Wal, to: Place, seen_at: Timestamp) -> Result<(), ArchiveError> {
        let mut next = self.written;
        let most = self.header.most_frames();
        while next.place.frames < to.frames {
            let until = to.frames.min(next.place.frames + most as u64);
            let mut body = Vec::new();
            let read = wal.read(next.place, until, |frame, _| {
                body.extend_from_slice(&frame.page.to_be_bytes());
                body.extend_from_slice(&frame.pages_of_database.to_be_bytes());
                body.extend_from_slice(frame.data);
                Ok(())
            });
            let place = read.map_err(at(&self.path))?;
            if place.frames != until {
                let gone = io::Error::other("the write-ahead log changed while it was read");
                return Err(at(&self.path)(gone));
            }
            let count = place.frames - next.place.frames;
            next = self.write_record(next, FRAMES, count, place, seen_at, &body)?;
        }
        self.sync(next)
    }

    /// Notes that the log may be restarted now.
    pub(super) fn append_restartable(&mut self, now: Timestamp) -> Result<(), ArchiveError> {
        let written = self.written;
        let next = self.write_record(written, RESTARTABLE, 0, written.place, now, &[])?;
        self.sync(next)
    }

    fn write_record(
        &self,
        before: Written,
        kind: u8,
        count: u64,
        place: Place,
        seen_at: Timestamp,
        body: &[u8],
    ) -> Result<Written, ArchiveError> {
        let seen_at = seen_at.max(before.seen_at);
        let mut record = Vec::with_capacity(HEAD + body.len() + DIGEST);
        record.push(kind);
        record.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
        record.extend_from_slice(&nanoseconds(seen_at).to_be_bytes());
        record.extend_from_slice(&place.checksum.0.to_be_bytes());
        record.extend_from_slice(&place.checksum.1.to_be_bytes());
        record.extend_from_slice(body);
        let digest = chained(before.digest.as_bytes(), &[&record]);
        record.extend_from_slice(digest.as_bytes());
        self.file
            .write_all_at(&record, before.length)
            .map_err(at(&self.path))?;
        Ok(Written {
            length: before.length + record.len() as u64,
            digest,
            place,
            seen_at,
            is_restartable: kind == RESTARTABLE,
        })
    }

    /// Cuts off what an attempt before left behind, and counts the rest once it is durable.
    fn sync(&mut self, next: Written) -> Result<(), ArchiveError> {
        self.file
            .set_len(next.length)
            .and_then(|()| self.file.sync_data())
            .map_err(at(&self.path))?;
        self.written = next;
        Ok(())
    }
}

fn nanoseconds(instant: Timestamp) -> i64 {
    i64::try_from(instant.as_nanosecond()).unwrap_or(i64::MAX)
}

/// Frames that were seen to be committed by an instant; or that the log may be restarted.
pub(super) struct Record {
    pub(super) seen_at: Timestamp,
    page_bytes: usize,
    body: Vec<u8>,
}

impl Record {
    pub(super) fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap_or_default());
        let frames = self.body.chunks_exact(FRAME_HEAD + self.page_bytes);
        frames.map(move |frame| Frame {
            page: number(&frame[..4]),
            pages_of_database: number(&frame[4..FRAME_HEAD]),
            data: &frame[FRAME_HEAD..],
        })
    }
}

/// What comes next in a segment.
pub(super) enum Next {
    Record(Record),
    End,
    /// The file ends within a record, or has nothing but zeros from here on.
    Cut,
    /// It is not what was written; whether it may be because the machine died while it was.
    Damaged {
        is_last: bool,
    },
}

pub(super) struct SegmentReader {
    pub(super) path: PathBuf,
    file: BufReader<File>,
    length: u64,
    pub(super) header: SegmentHeader,
    /// Up to the last whole record.
    pub(super) written: Written,
}

impl SegmentReader {
    /// `None` if its first line is not whole.
    pub(super) fn open(path: PathBuf, number: u64) -> Result<Option<Self>, ArchiveError> {
        let file = File::open(&path).map_err(at(&path))?;
        let length = file.metadata().map_err(at(&path))?.len();
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        file.by_ref()
            .take(MOST_HEADER)
            .read_until(b'\n', &mut line)
            .map_err(at(&path))?;
        let Ok(header) = serde_json::from_slice::<SegmentHeader>(&line) else {
            return Ok(None);
        };
        if header.version != VERSION || header.number != number || line.last() != Some(&b'\n') {
            return Ok(None);
        }
        let written = Written {
            length: line.len() as u64,
            digest: chained(&[], &[&line]),
            place: Place {
                frames: 0,
                checksum: header.checksum,
            },
            seen_at: Timestamp::MIN,
            is_restartable: false,
        };
        Ok(Some(Self {
            path,
            file,
            length,
            header,
            written,
        }))
    }

    pub(super) fn next(&mut self) -> Result<Next, ArchiveError> {
        let left = self.length.saturating_sub(self.written.length);
        if left == 0 {
            return Ok(Next::End);
        }
        if left < HEAD as u64 {
            return Ok(Next::Cut);
        }
        let mut head = [0; HEAD];
        self.file.read_exact(&mut head).map_err(at(&self.path))?;
        let number = |from: usize| u32::from_be_bytes(head[from..from + 4].try_into().unwrap_or_default());
        let count = usize::try_from(number(1)).unwrap_or(usize::MAX);
        let is_known = match head[0] {
            FRAMES => (1..=self.header.most_frames()).contains(&count),
            RESTARTABLE => count == 0,
            _ => false,
        };
        if !is_known {
            return self.unknown(&head);
        }
        let body_bytes = count * (FRAME_HEAD + self.header.page_bytes());
        let bytes = (HEAD + body_bytes + DIGEST) as u64;
        if left < bytes {
            return Ok(Next::Cut);
        }
        let mut body = vec![0; body_bytes];
        let mut said = [0; DIGEST];
        self.file
            .read_exact(&mut body)
            .and_then(|()| self.file.read_exact(&mut said))
            .map_err(at(&self.path))?;
        let digest = chained(self.written.digest.as_bytes(), &[&head, &body]);
        let seen_at = i64::from_be_bytes(head[5..13].try_into().unwrap_or_default());
        let seen_at = Timestamp::from_nanosecond(seen_at.into());
        let (true, Ok(seen_at)) = (*digest.as_bytes() == said, seen_at) else {
            return Ok(Next::Damaged {
                is_last: left == bytes,
            });
        };
        self.written = Written {
            length: self.written.length + bytes,
            digest,
            place: Place {
                frames: self.written.place.frames + count as u64,
                checksum: Checksum(number(13), number(17)),
            },
            seen_at,
            is_restartable: head[0] == RESTARTABLE,
        };
        Ok(Next::Record(Record {
            seen_at,
            page_bytes: self.header.page_bytes(),
            body,
        }))
    }

    /// A file system may leave zeros where a machine died.
    fn unknown(&mut self, head: &[u8]) -> Result<Next, ArchiveError> {
        let mut are_zeros = head.iter().all(|byte| *byte == 0);
        while are_zeros {
            let some = self.file.fill_buf().map_err(at(&self.path))?;
            if some.is_empty() {
                return Ok(Next::Cut);
            }
            are_zeros = some.iter().all(|byte| *byte == 0);
            let length = some.len();
            self.file.consume(length);
        }
        Ok(Next::Damaged { is_last: false })
    }
}

/// Whether a segment's file is shorter than it was known to be.
pub(super) fn is_shorter(reader: &SegmentReader, bytes: u64) -> bool {
    reader.written.length < bytes
}

/// The file of a path is removed, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), ArchiveError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}
