//! One hour of minutes in a few hundred bytes.
//!
//! Sixty places follow each other. A minute that was not reported is one zero byte; one that was is a one, and then good, bad,
//! fast and slow, each as a variable-length integer (seven bits a byte, the lowest first, the highest bit says that more
//! follow).

/// What became of the turns of one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered in time.
    pub good: u64,
    /// Failed by us.
    pub bad: u64,
    /// Of the good ones: within the response time that was aimed at.
    pub fast: u64,
    /// Of the good ones: after it.
    pub slow: u64,
}

/// Minutes of an hour.
pub const MINUTES: usize = 60;

/// The minutes of an hour that one start of a gateway reported for one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hour([Option<Counts>; MINUTES]);

/// What became of a minute that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It was not known; now it is.
    New,
    /// It was known with these counts.
    Same,
    /// It was known with other counts, which stand.
    Other,
}

impl Default for Hour {
    fn default() -> Self {
        Self([None; MINUTES])
    }
}

impl Hour {
    /// Takes a minute, unless it is known.
    pub fn offer(&mut self, minute: usize, counts: Counts) -> Offered {
        match self.0.get_mut(minute) {
            Some(place @ None) => {
                *place = Some(counts);
                Offered::New
            }
            Some(Some(known)) if *known == counts => Offered::Same,
            _ => Offered::Other,
        }
    }

    /// Takes over the minutes of another that it does not know itself.
    pub fn add(&mut self, other: &Self) {
        for (place, minute) in self.0.iter_mut().zip(other.0) {
            *place = place.or(minute);
        }
    }

    /// All sixty, in order.
    pub fn minutes(&self) -> &[Option<Counts>; MINUTES] {
        &self.0
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(6 * MINUTES);
        for minute in &self.0 {
            bytes.push(u8::from(minute.is_some()));
            if let Some(Counts {
                good,
                bad,
                fast,
                slow,
            }) = *minute
            {
                for number in [good, bad, fast, slow] {
                    write_number(&mut bytes, number);
                }
            }
        }
        bytes
    }

    /// As it was stored; `None` if these bytes are no hour.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut hour = Self::default();
        for_each_minute(bytes, |minute, counts| {
            if let Some(place) = hour.0.get_mut(minute) {
                *place = Some(counts);
            }
        })?;
        Some(hour)
    }
}

/// Calls `each` with the minutes of a stored hour that were reported, in order; `None` if these bytes are no hour. A month of
/// a few gateways is thousands of hours: they need not be made.
pub fn for_each_minute(mut bytes: &[u8], mut each: impl FnMut(usize, Counts)) -> Option<()> {
    for minute in 0..MINUTES {
        match bytes.split_off_first()? {
            0 => {}
            1 => {
                let counts = Counts {
                    good: read_number(&mut bytes)?,
                    bad: read_number(&mut bytes)?,
                    fast: read_number(&mut bytes)?,
                    slow: read_number(&mut bytes)?,
                };
                each(minute, counts);
            }
            _ => return None,
        }
    }
    bytes.is_empty().then_some(())
}

fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        bytes.push(low | (u8::from(number > 0) << 7));
        if number == 0 {
            return;
        }
    }
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts() -> impl Strategy<Value = Option<Counts>> {
        let number = || prop_oneof![Just(0), 0..200_u64, 0..1_u64 << 62];
        let counts = (number(), number(), number(), number());
        proptest::option::of(counts.prop_map(|(good, bad, fast, slow)| Counts {
            good,
            bad,
            fast,
            slow,
        }))
    }

    proptest! {
        #[test]
        fn an_hour_reads_back_and_half_of_one_is_none(minutes in proptest::collection::vec(counts(), MINUTES), cut in 1..60_usize) {
            let mut hour = Hour::default();
            for (place, counts) in minutes.iter().enumerate() {
                if let Some(counts) = counts {
                    prop_assert_eq!(hour.offer(place, *counts), Offered::New);
                }
            }
            let bytes = hour.to_bytes();
            prop_assert_eq!(Hour::from_bytes(&bytes), Some(hour.clone()));
            prop_assert_eq!(Hour::from_bytes(&bytes[..bytes.len() - cut]), None);
            prop_assert_eq!(Hour::from_bytes(&[&bytes[..], &[0]].concat()), None);
            prop_assert_eq!(hour.minutes().to_vec(), minutes);
        }
    }

    #[test]
    fn a_quiet_hour_takes_three_hundred_bytes_and_a_busy_one_half_a_kilobyte() {
        let (mut quiet, mut busy) = (Hour::default(), Hour::default());
        for minute in 0..MINUTES {
            quiet.offer(minute, Counts::default());
            let counts = Counts {
                good: 9_000,
                bad: 90,
                fast: 8_990,
                slow: 10,
            };
            busy.offer(minute, counts);
        }
        assert_eq!((quiet.to_bytes().len(), busy.to_bytes().len()), (300, 420));
    }

    #[test]
    fn a_known_minute_stands_whatever_is_offered_after_it() {
        let mut hour = Hour::default();
        let first = Counts {
            good: 1,
            fast: 1,
            ..Counts::default()
        };
        assert_eq!(hour.offer(59, first), Offered::New);
        assert_eq!(hour.offer(59, first), Offered::Same);
        assert_eq!(hour.offer(59, Counts::default()), Offered::Other);
        assert_eq!(hour.minutes()[59], Some(first));
    }
}
