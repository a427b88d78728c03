//! Identities. Each is made once, at the edge, from text that came from outside; a value of these types is valid.

use std::fmt;
use std::str::FromStr;

use crate::error::{ApiError, Reason};

/// Longest name of a tenant or pool: what is derived from it (namespaces, pods, services) still fits a DNS label.
pub const MAX_NAME: usize = 40;
/// Longest conversation id, turn id, UID or boot id.
pub const MAX_ID: usize = 64;

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident, $field:literal, $check:path, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Checks and takes `text`; the error names the field and the rule.
            pub fn parse(text: impl Into<String>) -> Result<Self, ApiError> {
                let text = text.into();
                if $check(&text) {
                    Ok(Self(text))
                } else {
                    Err(ApiError::new(Reason::InvalidArgument, concat!($field, " must be ", $rule)).with_field($field))
                }
            }
            /// The text of it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = ApiError;
            fn from_str(text: &str) -> Result<Self, ApiError> {
                Self::parse(text)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(text).map_err(|error| serde::de::Error::custom(error.message))
            }
        }
    };
}

fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_token(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(inner)
}

fn is_pod_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))
}

identity!(
    /// Name of a Tenant: a DNS label. Not its identity over time, which is [`TenantUid`].
    TenantId, "tenant", is_name, "1 to 40 lower-case letters, digits and '-', not at either end"
);
identity!(
    /// UID of the Tenant object. A new tenant of an old name is another tenant.
    TenantUid, "tenant_uid", is_token, "1 to 64 letters, digits, '_', '.' and '-'"
);
identity!(
    /// Name of a BotPool in its tenant's namespace: a DNS label.
    PoolId, "pool", is_name, "1 to 40 lower-case letters, digits and '-', not at either end"
);
identity!(
    /// One customer's session on one channel.
    ConversationId, "conversation_id", is_token, "1 to 64 letters, digits, '_', '.' and '-'"
);
identity!(
    /// One customer message and its answer; made by the client, so that sending it again is harmless.
    TurnId, "turn_id", is_token, "1 to 64 letters, digits, '_', '.' and '-'"
);
identity!(
    /// Name of a Pod.
    PodName, "pod", is_pod_name, "a Kubernetes object name"
);
identity!(
    /// UID of a Pod.
    PodUid, "pod_uid", is_token, "1 to 64 letters, digits, '_', '.' and '-'"
);
identity!(
    /// One start of a process.
    BootId, "boot_id", is_token, "1 to 64 letters, digits, '_', '.' and '-'"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels_and_the_error_names_the_field() {
        assert!(TenantId::parse("acme-2").is_ok());
        for wrong in [
            "",
            "Acme",
            "-acme",
            "acme-",
            "a.b",
            "a/b",
            "安可",
            &"a".repeat(41),
        ] {
            let error = TenantId::parse(wrong).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("tenant"), "{wrong}");
        }
    }

    #[test]
    fn ids_carry_no_separator_of_the_interaction_identity() {
        assert!(TurnId::parse("t-1_a.B").is_ok());
        for wrong in ["", "a/b", "a b", "a\n", &"a".repeat(65)] {
            assert!(TurnId::parse(wrong).is_err(), "{wrong}");
        }
    }
}
