//! Probes of a tenant's public door: how a gateway knows that one comes from the operator.
//!
//! A probe is an ordinary turn with one more header, `springtide-probe: t=SECONDS,v1=HEX`: HEX is the HMAC-SHA256 of the seconds, a
//! line break and the path, with a key that the operator derives for each tenant from the CA's and hands to its gateways in their
//! Secret. Whoever does not have the key cannot make one, and one that was seen is of no use a minute later, nor for another path.

use jiff::Timestamp;
use ring::hmac;

/// The header.
pub const PROBE_HEADER: &str = "springtide-probe";
/// The file with the key, beside the gateway's certificate.
pub const PROBE_KEY_FILE: &str = "probe.key";
/// Clocks of operator and gateway may differ by so much.
const TOLERANCE_SECONDS: u64 = 60;

/// A tenant's key.
#[derive(Clone)]
pub struct ProbeKey(hmac::Key);

impl std::fmt::Debug for ProbeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProbeKey")
    }
}

impl ProbeKey {
    /// Of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// What the header says for a probe of `path` at this instant.
    pub fn sign(&self, path: &str, now: Timestamp) -> String {
        let seconds = now.as_second();
        let tag = hmac::sign(&self.0, signed(seconds, path).as_bytes());
        let hex = tag
            .as_ref()
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        format!("t={seconds},v1={hex}")
    }

    /// The header was made with this key, for this path, and not long ago.
    pub fn verify(&self, header: &str, path: &str, now: Timestamp) -> bool {
        let Some((seconds, hex)) = header.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")) else {
            return false;
        };
        let (Ok(seconds), Some(tag)) = (seconds.parse::<i64>(), from_hex(hex)) else {
            return false;
        };
        seconds.abs_diff(now.as_second()) <= TOLERANCE_SECONDS
            && hmac::verify(&self.0, signed(seconds, path).as_bytes(), &tag).is_ok()
    }
}

fn signed(seconds: i64, path: &str) -> String {
    format!("{seconds}\n{path}")
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.is_ascii().then_some(hex.as_bytes())?.chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_keys_own_fresh_header_of_that_path_is_a_probe() {
        let at = |time: &str| format!("2026-11-11T{time}Z").parse::<Timestamp>().unwrap();
        let key = ProbeKey::new(b"acme");
        let header = key.sign("/a", at("10:00:00"));
        assert!(key.verify(&header, "/a", at("10:00:59")));
        assert!(key.verify(&header, "/a", at("09:59:01")));
        for (key, header, path, now) in [
            (ProbeKey::new(b"other"), header.clone(), "/a", at("10:00:00")),
            (key.clone(), header.clone(), "/b", at("10:00:00")),
            (key.clone(), header.clone(), "/a", at("10:01:01")),
            (key.clone(), header.clone(), "/a", at("09:58:59")),
            (key.clone(), header.replace("t=1", "t=2"), "/a", at("10:00:00")),
            (
                key.clone(),
                header[..header.len() - 2].to_owned(),
                "/a",
                at("10:00:00"),
            ),
            (key.clone(), String::new(), "/a", at("10:00:00")),
            (key.clone(), "t=1,v1=zz".to_owned(), "/a", at("10:00:00")),
            (key.clone(), "t=1,v1=é".to_owned(), "/a", at("10:00:00")),
        ] {
            assert!(!key.verify(&header, path, now), "{header} {path} {now}");
        }
    }
}
