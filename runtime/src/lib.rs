//! What every Springtide binary shares.
//!
//! - [`clock`]: the clock as a parameter.
//! - [`telemetry`]: logs, and traces over OTLP where an endpoint is set.
//! - [`admin`]: the admin port: `/livez`, `/readyz`, `/metrics`.
//! - [`authority`]: the installation's certificate authority.
//! - [`shutdown`]: SIGTERM and SIGINT as a token.
//! - [`identity`]: who a peer is (`spiffe://springtide.dev/…`).
//! - [`tls`]: mutual TLS 1.3 by those identities.
//! - [`spool`]: usage records that are durable until billing acknowledged them.
//! - [`probe`]: how a gateway knows the operator's probes of its public door.
//! - [`reporter`]: takes them from the spool to billing.
//! - [`leader`]: finds the operator replica that leads.

pub mod admin;
pub mod authority;
pub mod clock;
pub mod identity;
pub mod leader;
pub mod pod;
pub mod probe;
pub mod reporter;
pub mod shutdown;
pub mod spool;
pub mod telemetry;
pub mod tls;

/// Makes ring the process's one TLS provider. Call it first in every `main`; a second call changes nothing.
pub fn install_crypto_provider() {
    // An error only says that a provider is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
}
