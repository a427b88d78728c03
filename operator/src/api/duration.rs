//! Durations as Go writes them: `90s`, `2h`, `1m30s`, `250ms`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time, written as Go writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub Duration);

/// The text is not such a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a duration such as \"90s\", \"5m\" or \"1h30m\"")]
pub struct DurationError {
    text: String,
}

const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

impl GoDuration {
    /// Of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let error = || DurationError {
            text: text.to_owned(),
        };
        let mut rest = text;
        let mut milliseconds: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let (unit, factor) = UNITS
                .into_iter()
                .find(|(unit, _)| tail.starts_with(unit))
                .ok_or_else(error)?;
            let part = number
                .parse::<u64>()
                .ok()
                .and_then(|number| number.checked_mul(factor))
                .ok_or_else(error)?;
            milliseconds = milliseconds.checked_add(part).ok_or_else(error)?;
            rest = tail.strip_prefix(unit).ok_or_else(error)?;
        }
        if text.is_empty() {
            Err(error())
        } else {
            Ok(Self(Duration::from_millis(milliseconds)))
        }
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (hours, minutes, rest, milliseconds) = (
            seconds / 3_600,
            seconds / 60 % 60,
            seconds % 60,
            self.0.subsec_millis(),
        );
        let mut written = false;
        for (value, unit) in [
            (hours, "h"),
            (minutes, "m"),
            (rest, "s"),
            (u64::from(milliseconds), "ms"),
        ] {
            if value > 0 {
                write!(f, "{value}{unit}")?;
                written = true;
            }
        }
        if written { Ok(()) } else { f.write_str("0s") }
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for GoDuration {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^([0-9]{1,9}(ms|h|m|s))+$", "maxLength": 24})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_as_they_were_written() {
        for (text, seconds) in [
            ("90s", 90),
            ("2h", 7_200),
            ("1m30s", 90),
            ("0s", 0),
            ("500ms500ms", 1),
        ] {
            let parsed: GoDuration = text.parse().unwrap();
            assert_eq!(parsed.0.as_secs(), seconds, "{text}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
        assert_eq!(GoDuration::from_secs(5_430).to_string(), "1h30m30s");
        for wrong in ["", "5", "-5s", "5d", "s", "1.5h", "99999999999999999999h"] {
            assert!(wrong.parse::<GoDuration>().is_err(), "{wrong}");
        }
    }
}
