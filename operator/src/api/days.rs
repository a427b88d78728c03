//! Spans of whole days: `730d`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// So many days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Days(pub u32);

/// The text is no number of days.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a number of days such as \"730d\"")]
pub struct DaysError {
    text: String,
}

impl FromStr for Days {
    type Err = DaysError;

    fn from_str(text: &str) -> Result<Self, DaysError> {
        let number = text
            .strip_suffix('d')
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let days = number.and_then(|digits| digits.parse().ok()).map(Self);
        days.ok_or_else(|| DaysError {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}d", self.0)
    }
}

impl Serialize for Days {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Days {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Days".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9]{1,4}d$", "maxLength": 5})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_read_back_as_they_were_written_and_other_units_are_refused() {
        assert_eq!("730d".parse(), Ok(Days(730)));
        assert_eq!(Days(35).to_string(), "35d");
        for wrong in ["", "d", "730", "2y", "48h", "-1d", "+1d", "1.5d", "99999999999d"] {
            assert!(wrong.parse::<Days>().is_err(), "{wrong}");
        }
    }
}
