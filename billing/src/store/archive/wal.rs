//! SQLite's write-ahead log as it lies in its file. The format is fixed: <https://www.sqlite.org/fileformat2.html#walformat>.
//!
//! A frame is whole when it has the log's salts and its checksum, which goes over all frames before it too. A frame that ends
//! a transaction says how many pages the database has then.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const MAGIC: u32 = 0x377f_0682;
/// How often a header is looked at that is just being written.
const LOOKS: usize = 5;

/// Over all that was read of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checksum(pub(super) u32, pub(super) u32);

/// Which life of a log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Salts(pub(super) u32, pub(super) u32);

impl Salts {
    /// Whether these are the ones after one restart.
    pub(super) fn are_next_to(self, before: Self) -> bool {
        self.0 == before.0.wrapping_add(1)
    }
}

/// How far a log was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) frames: u64,
    pub(super) checksum: Checksum,
}

/// A page's new contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Counted from 1.
    pub(super) page: u32,
    /// Pages of the database, if a transaction ends with it.
    pub(super) pages_of_database: u32,
    pub(super) data: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WalHeader {
    is_big_endian: bool,
    pub(super) page_size: u32,
    pub(super) salts: Salts,
    checksum: Checksum,
}

fn word(bytes: &[u8], position: usize) -> u32 {
    let mut four = [0; 4];
    if let Some(found) = bytes.get(position..position + 4) {
        four.copy_from_slice(found);
    }
    u32::from_be_bytes(four)
}

impl Checksum {
    fn over(self, bytes: &[u8], is_big_endian: bool) -> Self {
        let Self(mut one, mut two) = self;
        for pair in bytes.chunks_exact(8) {
            let (mut first, mut second) = (word(pair, 0), word(pair, 4));
            if !is_big_endian {
                (first, second) = (first.swap_bytes(), second.swap_bytes());
            }
            one = one.wrapping_add(first).wrapping_add(two);
            two = two.wrapping_add(second).wrapping_add(one);
        }
        Self(one, two)
    }
}

impl WalHeader {
    fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let magic = word(bytes, 0);
        let header = Self {
            is_big_endian: magic & 1 == 1,
            page_size: word(bytes, 8),
            salts: Salts(word(bytes, 16), word(bytes, 20)),
            checksum: Checksum(word(bytes, 24), word(bytes, 28)),
        };
        let sum = Checksum(0, 0).over(&bytes[..HEADER - 8], header.is_big_endian);
        let is_whole = magic & !1 == MAGIC && sum == header.checksum && header.page_size.is_power_of_two();
        is_whole.then_some(header)
    }

    /// Before the first frame.
    pub(super) fn start(&self) -> Place {
        Place {
            frames: 0,
            checksum: self.checksum,
        }
    }
}

/// A log's file, opened anew for each look: SQLite holds no lock on it that closing it could take away.
pub(super) struct Wal {
    file: File,
    pub(super) header: WalHeader,
}

impl Wal {
    /// `None` while there is no log.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        for _ in 0..LOOKS {
            let mut bytes = [0; HEADER];
            match file.read_exact_at(&mut bytes, 0) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                Err(error) => return Err(error),
            }
            if let Some(header) = WalHeader::parse(&bytes) {
                return Ok(Some(Self { file, header }));
            }
        }
        Ok(None)
    }

    /// Gives whole frames to `each`, at most up to so many; where it ended.
    pub(super) fn read(
        &self,
        from: Place,
        until: u64,
        mut each: impl FnMut(Frame<'_>, Place) -> io::Result<()>,
    ) -> io::Result<Place> {
        let size = FRAME_HEADER + self.page_size();
        let mut buffer = vec![0; size];
        let mut place = from;
        while place.frames < until {
            let offset = HEADER as u64 + place.frames * size as u64;
            match self.file.read_exact_at(&mut buffer, offset) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
            let (head, data) = buffer.split_at(FRAME_HEADER);
            let is_big_endian = self.header.is_big_endian;
            let checksum = place
                .checksum
                .over(&head[..8], is_big_endian)
                .over(data, is_big_endian);
            let salts = Salts(word(head, 8), word(head, 12));
            if salts != self.header.salts || checksum != Checksum(word(head, 16), word(head, 20)) {
                break;
            }
            place = Place {
                frames: place.frames + 1,
                checksum,
            };
            let frame = Frame {
                page: word(head, 0),
                pages_of_database: word(head, 4),
                data,
            };
            each(frame, place)?;
        }
        Ok(place)
    }

    /// Where the last transaction ends that is whole.
    pub(super) fn committed(&self, from: Place) -> io::Result<Place> {
        let mut committed = from;
        self.read(from, u64::MAX, |frame, place| {
            if frame.pages_of_database > 0 {
                committed = place;
            }
            Ok(())
        })?;
        Ok(committed)
    }

    /// Whether it goes on from there.
    pub(super) fn has(&self, place: Place) -> io::Result<bool> {
        let found = self.read(self.header.start(), place.frames, |_, _| Ok(()))?;
        Ok(found == place)
    }

    pub(super) fn page_size(&self) -> usize {
        usize::try_from(self.header.page_size).unwrap_or(usize::MAX)
    }
}
