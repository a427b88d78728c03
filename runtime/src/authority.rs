//! The certificate authority of an installation: makes a CA, and issues a certificate per identity.
//!
//! Used by the operator (which keeps the CA in a Secret) and by tests.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};

use crate::identity::PeerIdentity;
use crate::tls::{TlsError, TlsMaterial};

/// How long a CA is valid.
pub const CA_VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 3_650);
/// How long a part's certificate is valid; it is renewed at two thirds of that.
pub const CERTIFICATE_VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 397);
/// Clocks of two machines may differ by this much.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(10);

/// Why nothing could be issued.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The CA's certificate or key is not usable.
    #[error("the CA's certificate or key is not usable")]
    Ca(#[source] rcgen::Error),
    /// The certificate could not be made.
    #[error("no certificate could be made for {identity}")]
    Issue {
        /// For whom.
        identity: String,
        /// What the library says.
        source: rcgen::Error,
    },
    /// An instant beyond what certificates can hold.
    #[error("the instant {0} does not fit into a certificate")]
    Instant(Timestamp),
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct IssuedPem {
    /// The certificate.
    pub certificate: String,
    /// Its private key: never logged.
    pub key: String,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

/// A CA that can issue.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// A new CA, as PEM: keep it, then [`Authority::from_pem`].
    pub fn generate(now: Timestamp) -> Result<IssuedPem, AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Ca)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name("Springtide CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let not_after = set_validity(&mut params, now, CA_VALIDITY)?;
        let certificate = params.self_signed(&key).map_err(AuthorityError::Ca)?;
        Ok(IssuedPem {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            not_after,
        })
    }

    /// From what was kept.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pem(key).map_err(AuthorityError::Ca)?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(AuthorityError::Ca)?;
        Ok(Self {
            issuer,
            certificate: certificate.to_owned(),
        })
    }

    /// The CA's certificate: what peers verify against.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for `identity`, with a key of its own.
    pub fn issue(&self, identity: &PeerIdentity, now: Timestamp) -> Result<IssuedPem, AuthorityError> {
        let failed = |source| AuthorityError::Issue {
            identity: identity.to_string(),
            source,
        };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name("Springtide");
        params.subject_alt_names = vec![
            SanType::URI(identity.uri().try_into().map_err(failed)?),
            SanType::DnsName(identity.server_name().try_into().map_err(failed)?),
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let not_after = set_validity(&mut params, now, CERTIFICATE_VALIDITY)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(IssuedPem {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            not_after,
        })
    }

    /// The key with which the operator proves to the gateways of `identity` that a probe is its own. Whoever has the CA's key can
    /// derive it again; from it nothing follows of the CA's, nor of another tenant's.
    pub fn probe_key(&self, identity: &PeerIdentity) -> [u8; 32] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.issuer.key().serialized_der());
        let tag = ring::hmac::sign(&key, format!("probe {identity}").as_bytes());
        let mut derived = [0; 32];
        derived.copy_from_slice(tag.as_ref());
        derived
    }

    /// [`Self::issue`], ready for use in this process.
    pub fn material(&self, identity: &PeerIdentity, now: Timestamp) -> Result<TlsMaterial, MaterialError> {
        let issued = self.issue(identity, now)?;
        Ok(TlsMaterial::from_pem(
            &issued.certificate,
            &issued.key,
            &self.certificate,
        )?)
    }
}

/// Why material could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// Nothing was issued.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// What was issued cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn set_validity(
    params: &mut CertificateParams,
    now: Timestamp,
    validity: SignedDuration,
) -> Result<Timestamp, AuthorityError> {
    let not_after = now
        .checked_add(validity)
        .map_err(|_| AuthorityError::Instant(now))?;
    // Certificates are given whole days: valid from the start of the first, until the start of the last.
    let (year, month, day) = utc_date(
        now.checked_sub(CLOCK_SKEW)
            .map_err(|_| AuthorityError::Instant(now))?,
    )?;
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = utc_date(not_after)?;
    params.not_after = rcgen::date_time_ymd(year, month, day);
    Ok(not_after)
}

fn utc_date(instant: Timestamp) -> Result<(i32, u8, u8), AuthorityError> {
    let date = instant.to_zoned(jiff::tz::TimeZone::UTC).date();
    let month = u8::try_from(date.month()).map_err(|_| AuthorityError::Instant(instant))?;
    let day = u8::try_from(date.day()).map_err(|_| AuthorityError::Instant(instant))?;
    Ok((i32::from(date.year()), month, day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{SystemRole, TenantRole};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    use springtide_proto::ids::TenantId;
    use tokio::net::TcpListener;
    use tokio_stream::StreamExt as _;
    use tokio_util::sync::CancellationToken;

    fn now() -> Timestamp {
        crate::clock::Clock::now(&crate::clock::SystemClock)
    }

    fn authority() -> Authority {
        let ca = Authority::generate(now()).unwrap();
        Authority::from_pem(&ca.certificate, &ca.key).unwrap()
    }

    fn acme(role: TenantRole) -> PeerIdentity {
        PeerIdentity::tenant(&TenantId::parse("acme").unwrap(), role)
    }

    /// Whether a client of `client_ca` that expects `expected` gets a connection to a worker of acme of `server_ca`.
    async fn connects(server_ca: &Authority, client_ca: &Authority, expected: &PeerIdentity) -> bool {
        let shutdown = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = server_ca.material(&acme(TenantRole::Worker), now()).unwrap();
        let mut incoming = server.incoming(listener, shutdown.clone());
        let client = client_ca.material(&acme(TenantRole::Gateway), now()).unwrap();
        let accepted = tokio::spawn(async move {
            let stream = incoming.next().await?.ok()?;
            let chain = stream.get_ref().1.peer_certificates()?.to_vec();
            crate::tls::identity_of(&chain[0])
        });
        // TLS 1.3: the server's refusal of a client's certificate comes after the client's handshake, so ask the server.
        let connected = client.connect(&address, expected).await.is_ok();
        let peer = tokio::time::timeout(
            std::time::Duration::from_millis(if connected { 2_000 } else { 100 }),
            accepted,
        )
        .await;
        shutdown.cancel();
        connected && peer.is_ok_and(|peer| peer.unwrap() == Some(acme(TenantRole::Gateway)))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn peers_of_one_ca_meet_and_know_each_other() {
        let ca = authority();
        assert!(connects(&ca, &ca, &acme(TenantRole::Worker)).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_with_another_identity_than_expected_is_refused() {
        let ca = authority();
        assert!(!connects(&ca, &ca, &PeerIdentity::System(SystemRole::Billing)).await);
        let other = PeerIdentity::tenant(&TenantId::parse("other").unwrap(), TenantRole::Worker);
        assert!(!connects(&ca, &ca, &other).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn peers_of_another_ca_are_refused() {
        assert!(!connects(&authority(), &authority(), &acme(TenantRole::Worker)).await);
    }

    #[test]
    fn a_certificate_carries_exactly_the_identity_it_was_issued_for() {
        let issued = authority().issue(&acme(TenantRole::Gateway), now()).unwrap();
        let der = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
        assert_eq!(crate::tls::identity_of(&der), Some(acme(TenantRole::Gateway)));
    }
}
