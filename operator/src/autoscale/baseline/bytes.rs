//! A baseline as bytes: a version, then each stretch of slots that were learned.
//!
//! Version 2, numbers big-endian: of a stretch its first slot (2 bytes) and its length (2 bytes); of each slot its highest load in
//! quarters of a conversation (3 bytes), what it begins with in 255ths of that (1 byte), its error in hundredths of a percent (2 bytes) and
//! its weeks (1 byte). What was not learned is left out. A whole week takes [`MOST_BYTES`], and nothing takes more: a gap saves more than the stretch after it costs.

use super::{Baseline, SLOTS, Slot};

const VERSION: u8 = 2;
const BYTES_OF_STRETCH: usize = 4;
const BYTES_OF_SLOT: usize = 7;

/// No baseline takes more bytes.
pub const MOST_BYTES: usize = 1 + BYTES_OF_STRETCH + SLOTS * BYTES_OF_SLOT;

/// Bytes that are no baseline.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Written by another version.
    #[error("version {0} of a baseline is not known")]
    Version(u8),
    /// Something is missing at the end.
    #[error("the baseline is cut off")]
    CutOff,
    /// A slot that does not exist, comes twice, or was never learned.
    #[error("the baseline has a slot {0} that cannot be there")]
    Slot(usize),
}

impl Baseline {
    /// As bytes, at most [`MOST_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let mut first = 0_u16;
        for stretch in self
            .slots
            .chunk_by(|one, next| (one.weeks > 0) == (next.weeks > 0))
        {
            let length = u16::try_from(stretch.len()).unwrap_or(u16::MAX);
            if stretch.first().is_some_and(|slot| slot.weeks > 0) {
                bytes.extend(first.to_be_bytes());
                bytes.extend(length.to_be_bytes());
                bytes.extend(stretch.iter().flat_map(|slot| slot.encode()));
            }
            first = first.saturating_add(length);
        }
        bytes
    }

    /// From the bytes of [`Baseline::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (version, mut rest) = bytes.split_first().ok_or(DecodeError::CutOff)?;
        if *version != VERSION {
            return Err(DecodeError::Version(*version));
        }
        let mut slots = Vec::new();
        while !rest.is_empty() {
            let (first, more) = number(rest)?;
            let (length, slots_and_more) = number(more)?;
            let end = first + length;
            if first < slots.len() || end > SLOTS {
                return Err(DecodeError::Slot(first));
            }
            slots.resize(first, Slot::default());
            rest = slots_and_more;
            while slots.len() < end {
                let (bytes, more) = rest
                    .split_first_chunk::<BYTES_OF_SLOT>()
                    .ok_or(DecodeError::CutOff)?;
                slots.push(Slot::decode(*bytes).ok_or(DecodeError::Slot(slots.len()))?);
                rest = more;
            }
        }
        if !slots.is_empty() {
            slots.resize(SLOTS, Slot::default());
        }
        Ok(Self { slots })
    }
}

fn number(bytes: &[u8]) -> Result<(usize, &[u8]), DecodeError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(DecodeError::CutOff)?;
    Ok((usize::from(u16::from_be_bytes(*number)), rest))
}

impl Slot {
    fn encode(self) -> [u8; BYTES_OF_SLOT] {
        // The highest byte is 0: a load has 24 bits.
        let [_, high, middle, low] = self.highest.to_be_bytes();
        let error = self.error.to_be_bytes();
        [high, middle, low, self.share, error[0], error[1], self.weeks]
    }

    fn decode(bytes: [u8; BYTES_OF_SLOT]) -> Option<Self> {
        let [high, middle, low, share, error @ .., weeks] = bytes;
        (weeks > 0).then(|| Self {
            highest: u32::from_be_bytes([0, high, middle, low]),
            share,
            error: u16::from_be_bytes(error),
            weeks,
        })
    }
}
