//! Who a peer is: a SPIFFE id in the URI SAN of its certificate, `spiffe://springtide.dev/tenant/NAME/ROLE` for the parts of
//! a tenant, `spiffe://springtide.dev/system/ROLE` for ours.

use std::fmt;

use springtide_proto::error::{ApiError, Reason};
use springtide_proto::ids::TenantId;

/// Trust domain of all identities.
pub const TRUST_DOMAIN: &str = "springtide.dev";

/// Part of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TenantRole {
    /// Answers.
    Worker,
    /// The edge.
    Gateway,
}

/// Part of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SystemRole {
    /// Controller and fleet service.
    Operator,
    /// Metering and bills.
    Billing,
}

/// Who a peer is, proven by its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerIdentity {
    /// A part of a tenant.
    Tenant {
        /// Whose.
        tenant: TenantId,
        /// Which.
        role: TenantRole,
    },
    /// A part of the system.
    System(SystemRole),
}

impl TenantRole {
    /// Text of it in identities.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Gateway => "gateway",
        }
    }
}

impl SystemRole {
    /// Text of it in identities.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Billing => "billing",
        }
    }
}

impl PeerIdentity {
    /// A tenant's part.
    pub fn tenant(tenant: &TenantId, role: TenantRole) -> Self {
        Self::Tenant {
            tenant: tenant.clone(),
            role,
        }
    }

    /// The URI SAN.
    pub fn uri(&self) -> String {
        match self {
            Self::Tenant { tenant, role } => {
                format!("spiffe://{TRUST_DOMAIN}/tenant/{tenant}/{}", role.as_str())
            }
            Self::System(role) => format!("spiffe://{TRUST_DOMAIN}/system/{}", role.as_str()),
        }
    }

    /// The DNS SAN: the server name that a client expects, whatever address it dialled.
    pub fn server_name(&self) -> String {
        match self {
            Self::Tenant { tenant, role } => format!("{}.{tenant}.tenant.{TRUST_DOMAIN}", role.as_str()),
            Self::System(role) => format!("{}.system.{TRUST_DOMAIN}", role.as_str()),
        }
    }

    /// Reads a URI SAN; `None` for anything but an identity of ours.
    pub fn from_uri(uri: &str) -> Option<Self> {
        let path = uri
            .strip_prefix("spiffe://")?
            .strip_prefix(TRUST_DOMAIN)?
            .strip_prefix('/')?;
        let segments: Vec<_> = path.split('/').collect();
        match segments.as_slice() {
            ["tenant", tenant, role] => {
                let tenant = TenantId::parse(*tenant).ok()?;
                let role = [TenantRole::Worker, TenantRole::Gateway]
                    .into_iter()
                    .find(|known| known.as_str() == *role)?;
                Some(Self::Tenant { tenant, role })
            }
            ["system", role] => [SystemRole::Operator, SystemRole::Billing]
                .into_iter()
                .find(|known| known.as_str() == *role)
                .map(Self::System),
            _ => None,
        }
    }

    /// `Ok` if the peer is `wanted`; the refusal says nothing of what exists.
    pub fn require(&self, wanted: &Self) -> Result<(), ApiError> {
        if self == wanted { Ok(()) } else { Err(refused()) }
    }
}

/// The one answer to a peer that may not do what it asks.
pub fn refused() -> ApiError {
    ApiError::new(Reason::PermissionDenied, "this identity may not do that")
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_read_back_from_their_uri_and_nothing_else_is_one() {
        let acme = TenantId::parse("acme").unwrap();
        for identity in [
            PeerIdentity::tenant(&acme, TenantRole::Worker),
            PeerIdentity::tenant(&acme, TenantRole::Gateway),
            PeerIdentity::System(SystemRole::Operator),
            PeerIdentity::System(SystemRole::Billing),
        ] {
            assert_eq!(PeerIdentity::from_uri(&identity.uri()), Some(identity));
        }
        for foreign in [
            "spiffe://other.dev/system/operator",
            "spiffe://springtide.dev.evil/system/operator",
            "spiffe://springtide.dev/tenant/acme/worker/x",
            "spiffe://springtide.dev/tenant/ACME/worker",
            "https://springtide.dev/system/operator",
        ] {
            assert_eq!(PeerIdentity::from_uri(foreign), None, "{foreign}");
        }
    }
}
