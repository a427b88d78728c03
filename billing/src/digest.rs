//! SHA-256 and canonical JSON: what hashes, chains and plan versions are made of.
//!
//! *Canonical JSON*: no white space, the keys of every object sorted by their bytes, strings as `serde_json` writes them.
//! Documents that are hashed hold strings, integers, lists and objects; never a fraction, so no float is ever written.

use std::fmt;

use serde_json::Value;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// A stored or sent digest of another length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest of {0} bytes is none of ours")]
pub struct WrongLength(pub usize);

impl Digest {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut value = [0; 32];
        value.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
        Self(value)
    }

    /// Hashes the canonical JSON of `value`.
    pub fn of_json(value: &Value) -> Self {
        Self::of(canonical_json(value).as_bytes())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its first half, for what is kept once per event.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut half = [0; 16];
        half.copy_from_slice(&self.0[..16]);
        Fingerprint(half)
    }

    /// Compares in a time that does not depend on where the two differ.
    #[must_use]
    pub fn constant_time_equals(&self, other: &Self) -> bool {
        let difference = self
            .0
            .iter()
            .zip(other.0)
            .fold(0, |sum, (one, two)| sum | (one ^ two));
        std::hint::black_box(difference) == 0
    }
}

/// The first half of a SHA-256: 128 bits, which nobody can make two texts agree in, at half the room in the largest index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The same but for the first bytes, which are those of `place`.
    #[must_use]
    pub fn placed_at(mut self, place: Self, bytes: usize) -> Self {
        let bytes = bytes.min(self.0.len());
        self.0[..bytes].copy_from_slice(&place.0[..bytes]);
        self
    }
}

impl TryFrom<&[u8]> for Fingerprint {
    type Error = WrongLength;
    fn try_from(bytes: &[u8]) -> Result<Self, WrongLength> {
        bytes.try_into().map(Self).map_err(|_| WrongLength(bytes.len()))
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = WrongLength;
    fn try_from(bytes: &[u8]) -> Result<Self, WrongLength> {
        bytes.try_into().map(Self).map_err(|_| WrongLength(bytes.len()))
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// `value` as canonical JSON.
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by(|(one, _), (two, _)| one.as_bytes().cmp(two.as_bytes()));
            text.push('{');
            for (position, (key, field)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(field, text);
            }
            text.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_does_not_depend_on_the_order_of_keys_or_on_white_space() {
        let one: Value = serde_json::from_str(r#"{"b": [1, {"z":"ü","a":null}], "a": "x\ny"}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"a":"x\ny","b":[1,{"a":null,"z":"ü"}]}"#).unwrap();
        assert_eq!(canonical_json(&one), r#"{"a":"x\ny","b":[1,{"a":null,"z":"ü"}]}"#);
        assert_eq!(Digest::of_json(&one), Digest::of_json(&two));
    }

    #[test]
    fn the_digest_is_sha_256_in_lower_case_hexadecimal() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), empty);
        assert!(Digest::of(b"a").constant_time_equals(&Digest::of(b"a")));
        assert!(!Digest::of(b"a").constant_time_equals(&Digest::of(b"b")));
        assert_eq!(Digest::try_from(&[0_u8; 31][..]), Err(WrongLength(31)));
    }
}
