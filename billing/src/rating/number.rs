//! Exact decimals: a whole number of 10^-scale. Nothing here rounds except [`Exact::rounded`], and nothing wraps: what does
//! not fit 38 digits is an [`Overflow`], which stops a bill rather than bending it.

use std::cmp::Ordering;
use std::fmt;

/// Most digits before the point that a decimal text may have.
pub const MAX_WHOLE_DIGITS: usize = 18;
/// Most digits after it.
pub const MAX_FRACTION_DIGITS: usize = 9;
/// Scale of stored quantities: billionths.
const NANO: u32 = 9;

/// A number beyond 38 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the number has more digits than can be kept exactly")]
pub struct Overflow;

/// A text that is not a decimal as the contracts have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotADecimal {
    /// Something else than digits with at most one point between them.
    #[error("is not a decimal such as \"1\" or \"2.5\"")]
    Syntax,
    /// Below zero.
    #[error("must not be negative")]
    Negative,
    /// Too long.
    #[error("has more than {MAX_WHOLE_DIGITS} digits before the point or {MAX_FRACTION_DIGITS} after it")]
    TooLong,
}

/// An exact decimal. Kept without trailing zeros, so that equal numbers are equal values.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Exact {
    mantissa: i128,
    scale: u32,
}

impl Exact {
    /// 0.
    pub const ZERO: Self = Self {
        mantissa: 0,
        scale: 0,
    };

    /// `mantissa` × 10^-`scale`.
    pub fn new(mantissa: i128, scale: u32) -> Self {
        let (mut mantissa, mut scale) = (mantissa, scale);
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Self { mantissa, scale }
    }

    /// Reads a decimal that is not negative, of at most 18 digits before the point and 9 after it.
    pub fn parse(text: &str) -> Result<Self, NotADecimal> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return Err(NotADecimal::Syntax);
        }
        if whole.len() > MAX_WHOLE_DIGITS || fraction.len() > MAX_FRACTION_DIGITS {
            return Err(NotADecimal::TooLong);
        }
        let mantissa: i128 = format!("{whole}{fraction}")
            .parse()
            .map_err(|_| NotADecimal::TooLong)?;
        if negative && mantissa != 0 {
            return Err(NotADecimal::Negative);
        }
        Ok(Self::new(
            mantissa,
            u32::try_from(fraction.len()).map_err(|_| NotADecimal::TooLong)?,
        ))
    }

    /// A whole number.
    pub fn from_count(count: u64) -> Self {
        Self::new(i128::from(count), 0)
    }

    /// From billionths, the unit of stored quantities.
    pub fn from_nanos(nanos: i128) -> Self {
        Self::new(nanos, NANO)
    }

    /// In billionths; an overflow also if there is something smaller.
    pub fn to_nanos(self) -> Result<i128, Overflow> {
        if self.scale > NANO {
            return Err(Overflow);
        }
        self.mantissa_at(NANO)
    }

    /// Below zero.
    pub fn is_negative(self) -> bool {
        self.mantissa < 0
    }

    /// Zero.
    pub fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// Sum.
    pub fn plus(self, other: Self) -> Result<Self, Overflow> {
        let scale = self.scale.max(other.scale);
        let sum = self
            .mantissa_at(scale)?
            .checked_add(other.mantissa_at(scale)?)
            .ok_or(Overflow)?;
        Ok(Self::new(sum, scale))
    }

    /// Difference.
    pub fn minus(self, other: Self) -> Result<Self, Overflow> {
        self.plus(Self {
            mantissa: other.mantissa.checked_neg().ok_or(Overflow)?,
            ..other
        })
    }

    /// Product.
    pub fn times(self, other: Self) -> Result<Self, Overflow> {
        let product = self.mantissa.checked_mul(other.mantissa).ok_or(Overflow)?;
        Ok(Self::new(product, self.scale + other.scale))
    }

    /// Which is larger.
    pub fn compare(self, other: Self) -> Result<Ordering, Overflow> {
        let difference = self.minus(other)?;
        Ok(difference.mantissa.cmp(&0))
    }

    /// In units of 10^-`exponent`, rounded half away from zero.
    pub fn rounded(self, exponent: u32) -> Result<i128, Overflow> {
        if self.scale <= exponent {
            return self.mantissa_at(exponent);
        }
        // Beyond 38 digits after the point, what 38 digits can hold is less than half.
        let Some(unit) = 10_i128.checked_pow(self.scale - exponent) else {
            return Ok(0);
        };
        let (quotient, remainder) = (self.mantissa / unit, self.mantissa % unit);
        let away = if remainder.unsigned_abs() >= unit.unsigned_abs() - remainder.unsigned_abs() {
            self.mantissa.signum()
        } else {
            0
        };
        Ok(quotient + away)
    }

    /// This × `numerator` / `denominator` in units of 10^-`exponent`, rounded once, half away from zero.
    pub fn ratio_rounded(self, numerator: i128, denominator: i128, exponent: u32) -> Result<i128, Overflow> {
        let product = self.times(Self::new(numerator, 0))?;
        product.quotient_rounded(Self::new(denominator, 0), exponent)
    }

    /// This / `divisor` in units of 10^-`exponent`, rounded once, half away from zero.
    pub fn quotient_rounded(self, divisor: Self, exponent: u32) -> Result<i128, Overflow> {
        // (m × 10^-s) / (d × 10^-t) × 10^e = m × 10^(t + e - s) / d
        let (up, down) = (divisor.scale + exponent, self.scale);
        let power = |digits: u32| 10_i128.checked_pow(digits).ok_or(Overflow);
        let (numerator, denominator) = if up >= down {
            let factor = power(up - down)?;
            (
                self.mantissa.checked_mul(factor).ok_or(Overflow)?,
                divisor.mantissa,
            )
        } else {
            let factor = power(down - up)?;
            (
                self.mantissa,
                divisor.mantissa.checked_mul(factor).ok_or(Overflow)?,
            )
        };
        let quotient = numerator.checked_div(denominator).ok_or(Overflow)?;
        let remainder = (numerator % denominator).unsigned_abs();
        let is_half = remainder >= denominator.unsigned_abs() - remainder;
        let sign = numerator.signum() * denominator.signum();
        Ok(if is_half { quotient + sign } else { quotient })
    }

    /// How many whole packages of `size`, which is above zero, this fills; the last one may be filled in part.
    pub fn packages_of(self, size: Self) -> Result<Self, Overflow> {
        let scale = self.scale.max(size.scale);
        let (units, each) = (self.mantissa_at(scale)?, size.mantissa_at(scale)?);
        let whole = units.checked_div(each).ok_or(Overflow)?;
        let rest = i128::from(units % each > 0);
        Ok(Self::new(whole.checked_add(rest).ok_or(Overflow)?, 0))
    }

    fn mantissa_at(self, scale: u32) -> Result<i128, Overflow> {
        10_i128
            .checked_pow(scale - self.scale)
            .and_then(|unit| self.mantissa.checked_mul(unit))
            .ok_or(Overflow)
    }

    /// As people read it: thousands apart, and at least `decimals` digits after the point.
    pub fn grouped(self, decimals: usize) -> String {
        let plain = self.padded(decimals);
        let (sign, digits) = plain
            .strip_prefix('-')
            .map_or(("", plain.as_str()), |rest| ("-", rest));
        let (whole, fraction) = digits
            .split_once('.')
            .map_or((digits, None), |(whole, fraction)| (whole, Some(fraction)));
        let mut text = String::from(sign);
        for (position, digit) in whole.char_indices() {
            if position > 0 && (whole.len() - position) % 3 == 0 {
                text.push(',');
            }
            text.push(digit);
        }
        if let Some(fraction) = fraction {
            text.push('.');
            text.push_str(fraction);
        }
        text
    }

    /// As machines read it, with at least `decimals` digits after the point.
    pub fn padded(self, decimals: usize) -> String {
        let scale = self.scale as usize;
        let digits = format!("{:0>width$}", self.mantissa.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let sign = if self.is_negative() { "-" } else { "" };
        let point = if scale.max(decimals) > 0 { "." } else { "" };
        format!("{sign}{whole}{point}{fraction:0<decimals$}")
    }
}

/// Plain: "60500", "0.1".
impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.padded(0))
    }
}

impl fmt::Debug for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exact({self})")
    }
}

impl serde::Serialize for Exact {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Exact {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(format!("{text:?} {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(text: &str) -> Exact {
        Exact::parse(text).unwrap()
    }

    #[test]
    fn a_half_is_rounded_away_from_zero_in_both_directions() {
        for (mantissa, scale, exponent, expected) in [
            (5, 1, 0, 1),
            (-5, 1, 0, -1),
            (4, 1, 0, 0),
            (-4, 1, 0, 0),
            (1_005, 3, 2, 101),
            (-1_005, 3, 2, -101),
            (10_049, 4, 2, 100),
            (7, 0, 3, 7_000),
            (1, 60, 2, 0),
        ] {
            assert_eq!(
                Exact { mantissa, scale }.rounded(exponent),
                Ok(expected),
                "{mantissa}e-{scale} to {exponent}"
            );
        }
    }

    #[test]
    fn only_plain_decimals_are_read() {
        for good in [
            "0",
            "1",
            "2.5",
            "007",
            "0.000000001",
            "999999999999999999.999999999",
            "-0",
        ] {
            assert!(Exact::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "", ".", "1.", ".5", "+1", "1e3", " 1", "1 ", "1,000", "0x1", "１", "1.2.3", "NaN",
        ] {
            assert_eq!(Exact::parse(bad), Err(NotADecimal::Syntax), "{bad}");
        }
        assert_eq!(Exact::parse("-0.1"), Err(NotADecimal::Negative));
        assert_eq!(Exact::parse("1000000000000000000"), Err(NotADecimal::TooLong));
        assert_eq!(Exact::parse("0.1234567890"), Err(NotADecimal::TooLong));
    }

    #[test]
    fn numbers_are_written_for_machines_and_for_people() {
        assert_eq!(exact("0.10").padded(2), "0.10");
        assert_eq!(exact("0.005").padded(2), "0.005");
        assert_eq!(exact("60500").to_string(), "60500");
        assert_eq!(exact("1234567.5").grouped(2), "1,234,567.50");
        assert_eq!(Exact::new(-1_234, 0).grouped(0), "-1,234");
        assert_eq!(Exact::new(-5, 3).padded(2), "-0.005");
        assert_eq!(exact("100").grouped(0), "100");
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_never_wraps() {
        let huge = Exact::new(i128::MAX, 0);
        assert_eq!(huge.plus(exact("1")), Err(Overflow));
        assert_eq!(huge.times(exact("2")), Err(Overflow));
        assert_eq!(huge.plus(exact("0.1")), Err(Overflow));
        assert_eq!(Exact::new(1, 10).to_nanos(), Err(Overflow));
    }

    proptest! {
        #[test]
        fn arithmetic_agrees_with_an_independent_decimal(a in 0_i64..10_000_000_000, b in 0_i64..1_000_000, exponent in 0_u32..5) {
            use rust_decimal::{Decimal, RoundingStrategy};
            let (mine, theirs) = (Exact::new(a.into(), 3), Decimal::new(a, 3));
            let (price, their_price) = (Exact::new(b.into(), 5), Decimal::new(b, 5));
            let product = theirs * their_price;
            let rounded = product.round_dp_with_strategy(exponent, RoundingStrategy::MidpointAwayFromZero);
            prop_assert_eq!(mine.times(price).unwrap().to_string(), product.normalize().to_string());
            prop_assert_eq!(Exact::new(mine.times(price).unwrap().rounded(exponent).unwrap(), exponent).to_string(), rounded.normalize().to_string());
            prop_assert_eq!(mine.minus(price).unwrap().to_string(), (theirs - their_price).normalize().to_string());
        }

        #[test]
        fn a_decimal_reads_back_from_its_text(nanos in 0_i128..1_000_000_000_000_000_000_000_000_000) {
            let number = Exact::from_nanos(nanos);
            prop_assert_eq!(Exact::parse(&number.to_string()), Ok(number));
            prop_assert_eq!(number.to_nanos(), Ok(nanos));
        }
    }
}
