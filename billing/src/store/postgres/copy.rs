//! Rows in PostgreSQL's binary COPY format: the cheapest way in.

use crate::digest::Fingerprint;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Decimals of what is kept: quantities are counted in billionths.
const SCALE: u16 = 9;
/// Digits of a NUMERIC come in groups of this base.
const GROUP: u128 = 10_000;
/// Groups that billionths fill, with three zeros behind.
const FRACTION_GROUPS: i16 = 3;

/// Rows that are being written.
#[derive(Debug)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    fields: i16,
}

impl Rows {
    /// Of so many fields each.
    pub(super) fn new(fields: i16) -> Self {
        let mut bytes = SIGNATURE.to_vec();
        // Flags, and the length of what may follow them.
        bytes.extend([0; 8]);
        Self { bytes, fields }
    }

    /// Begins a row; its fields follow.
    pub(super) fn row(&mut self) -> &mut Self {
        self.bytes.extend(self.fields.to_be_bytes());
        self
    }

    pub(super) fn uuid(&mut self, value: Fingerprint) -> &mut Self {
        self.field(value.as_bytes())
    }

    pub(super) fn small(&mut self, value: i16) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    pub(super) fn int(&mut self, value: i32) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    pub(super) fn big(&mut self, value: i64) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    /// A TEXT or BYTEA. What is taken is bounded far below the length that fits.
    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.field(value)
    }

    /// A NUMERIC of `nanos` billionths.
    pub(super) fn numeric(&mut self, nanos: i128) -> &mut Self {
        let (digits, weight) = groups(nanos.unsigned_abs());
        let negative: u16 = if nanos < 0 { 0x4000 } else { 0 };
        let count = u16::try_from(digits.len()).unwrap_or(u16::MAX);
        let mut field = Vec::with_capacity(8 + 2 * digits.len());
        field.extend(count.to_be_bytes());
        field.extend(weight.to_be_bytes());
        field.extend(negative.to_be_bytes());
        field.extend(decimals(nanos.unsigned_abs()).to_be_bytes());
        for digit in digits {
            field.extend(digit.to_be_bytes());
        }
        self.field(&field)
    }

    /// The rows with what ends them.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend((-1_i16).to_be_bytes());
        self.bytes
    }

    fn field(&mut self, bytes: &[u8]) -> &mut Self {
        let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(bytes);
        self
    }
}

/// The groups of a NUMERIC, the highest first and without zeros at the end, and the weight of the first.
fn groups(nanos: u128) -> (Vec<u16>, i16) {
    // Twelve decimals are whole groups, nine are not; the three more are split off, so that nothing overflows.
    let (mut whole, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000 * 1_000);
    let group = |value: u128| u16::try_from(value % GROUP).unwrap_or_default();
    let mut digits = vec![
        group(fraction),
        group(fraction / GROUP),
        group(fraction / GROUP / GROUP),
    ];
    while whole > 0 {
        digits.push(group(whole));
        whole /= GROUP;
    }
    let weight = i16::try_from(digits.len()).unwrap_or(i16::MAX) - FRACTION_GROUPS - 1;
    digits.reverse();
    while digits.last() == Some(&0) {
        digits.pop();
    }
    (digits, weight)
}

/// How many decimals are shown.
fn decimals(nanos: u128) -> u16 {
    let (mut fraction, mut decimals) = (nanos % 1_000_000_000, SCALE);
    while decimals > 0 && fraction.is_multiple_of(10) {
        fraction /= 10;
        decimals -= 1;
    }
    decimals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_is_written_in_groups_of_four_digits_around_the_point() {
        for (nanos, digits, weight, shown) in [
            (0, vec![], -1, 0),
            (1_000_000_000, vec![1], 0, 0),
            (2_500_000_000, vec![2, 5_000], 0, 1),
            (1, vec![0, 0, 1_000], -1, 9),
            (123_456_789_000_000_000, vec![1, 2345, 6789], 2, 0),
            (12_345_000_000_001, vec![1, 2345, 0, 0, 1_000], 1, 9),
        ] {
            assert_eq!(groups(nanos), (digits, weight), "{nanos}");
            assert_eq!(decimals(nanos), shown, "{nanos}");
        }
        let (digits, weight) = groups(u128::MAX);
        assert_eq!((digits.len(), weight), (11, 7));
    }

    #[test]
    fn rows_carry_the_length_of_each_field_and_end_with_a_mark() {
        let mut rows = Rows::new(2);
        rows.row().small(7).bytes(b"ab");
        let bytes = rows.finish();
        let body = bytes.strip_prefix(SIGNATURE).unwrap();
        assert_eq!(
            body,
            [
                0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0, 7, 0, 0, 0, 2, b'a', b'b', 0xff, 0xff
            ]
        );
    }
}
