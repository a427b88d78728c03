//! Protobuf timestamps and durations to and from [`jiff`] and [`std::time`].

use std::time::Duration;

use jiff::Timestamp;

use crate::error::ApiError;

/// A wire timestamp as an instant; the error names `field`.
pub fn timestamp_from_wire(wire: Option<prost_types::Timestamp>, field: &str) -> Result<Timestamp, ApiError> {
    let wire = wire.ok_or_else(|| ApiError::invalid(field, format!("{field} is missing")))?;
    Timestamp::new(wire.seconds, wire.nanos)
        .map_err(|_| ApiError::invalid(field, format!("{field} is not an instant")))
}

/// An instant for the wire.
pub fn timestamp_to_wire(instant: Timestamp) -> prost_types::Timestamp {
    let (mut seconds, mut nanos) = (instant.as_second(), instant.subsec_nanosecond());
    if nanos < 0 {
        seconds -= 1;
        nanos += 1_000_000_000;
    }
    prost_types::Timestamp { seconds, nanos }
}

/// A wire duration; missing or negative ones are zero.
pub fn duration_from_wire(wire: Option<prost_types::Duration>) -> Duration {
    wire.and_then(|duration| Duration::try_from(duration).ok())
        .unwrap_or_default()
}

/// A duration for the wire; beyond what the wire holds, the most it holds.
pub fn duration_to_wire(duration: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration {
        seconds,
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn instants_survive_the_wire(nanoseconds in -4_000_000_000_000_000_000_i128..4_000_000_000_000_000_000) {
            let instant = Timestamp::from_nanosecond(nanoseconds).unwrap();
            let wire = timestamp_to_wire(instant);
            prop_assert!((0..1_000_000_000).contains(&wire.nanos));
            prop_assert_eq!(timestamp_from_wire(Some(wire), "x").unwrap(), instant);
        }
    }
}
