//! The file of `--openid-connect`: where browsers reach the portal, and the providers by name.
//!
//! ```yaml
//! publicUrl: https://billing.example.com
//! providers:
//!   acme:                                # names its redirect URI: PUBLIC_URL/sign-in/openid-connect/acme/return
//!     tenant: acme                       # whose people these are, and nobody else's
//!     tenantUid: 4f0c…                   # optional: this account of that name alone
//!     label: Acme single sign-on         # on the button; default: the issuer's host
//!     issuer: https://login.acme.example
//!     clientId: springtide
//!     clientSecretFile: acme-secret      # from this file's folder; read again at each sign-in
//!     certificateAuthorityFile: acme.pem # optional: trusted in place of the public authorities
//!     scopes: [groups]                   # asked for beside openid
//!     nameClaim: email                   # for the audit, beside sub and issuer; default: sub
//!     roleClaim: groups                  # a text or a list; one that begins with / is a JSON pointer
//!     roles: {finance-team: finance, it: admin}   # of several that match, the highest; without one, no access
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use http::Uri;
use openidconnect::IssuerUrl;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::Value;
use springtide_proto::ids::{TenantId, TenantUid};

use crate::https::{WrongUrl, check_url, public_authorities};
use crate::store::Role;

/// Largest file that is read.
const MAX_FILE: u64 = 1 << 20;
const MAX_NAME: usize = 40;
const MAX_LABEL: usize = 60;

/// What the file says, checked.
#[derive(Debug)]
pub struct Settings {
    /// Where browsers reach the portal, without a slash at the end.
    pub public_url: String,
    /// Each with its name.
    pub providers: Vec<ProviderSettings>,
}

/// One provider: it speaks for the people of one tenant.
#[derive(Debug)]
pub struct ProviderSettings {
    /// Of the entry.
    pub name: String,
    /// Whose people these are.
    pub tenant: TenantId,
    /// If set, only of the account with this UID.
    pub tenant_uid: Option<TenantUid>,
    /// On the button.
    pub label: String,
    /// As discovery and every token must name it.
    pub issuer: IssuerUrl,
    /// Who we are to the provider.
    pub client_id: String,
    /// Where our secret is.
    pub client_secret_file: PathBuf,
    /// Whose certificates are trusted.
    pub authorities: RootCertStore,
    /// Asked for beside `openid`.
    pub scopes: Vec<String>,
    /// Names the person.
    pub name_claim: String,
    /// Says what the person may.
    pub role_claim: String,
    /// Values of that claim, with what they are here.
    pub roles: BTreeMap<String, Role>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// There is no such file, or it may not be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A large file.
    #[error("{} is longer than {MAX_FILE} bytes", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
    },
    /// No YAML, or not of this form.
    #[error("{} is not understood", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<serde_saphyr::Error>,
    },
    /// Where the portal is said to be.
    #[error("publicUrl must be https://HOST or https://HOST:PORT, without a path")]
    PublicUrl,
    /// Nobody could sign in.
    #[error("providers: at least one is needed")]
    NoProviders,
    /// One entry.
    #[error("provider {name:?}")]
    Entry {
        /// Which.
        name: String,
        /// What is wrong with it.
        source: EntryError,
    },
    /// What one of them is told would also open the other.
    #[error(
        "providers {one:?} and {other:?} have the same issuer and clientId; each needs a client of its own"
    )]
    SameClient {
        /// The first.
        one: String,
        /// The second.
        other: String,
    },
}

/// What is wrong with an entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// A field is missing, unknown or of another type.
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
    /// It is part of an address.
    #[error("its name must be 1 to {MAX_NAME} characters of a-z, 0-9 and -")]
    Name,
    /// Cannot be a tenant's.
    #[error("{field} is no {field} that a tenant can have")]
    Tenant {
        /// `tenant` or `tenantUid`.
        field: &'static str,
    },
    /// Nobody could read it on the button.
    #[error("label must be 1 to {MAX_LABEL} characters")]
    Label,
    /// Where the provider is said to be.
    #[error("issuer")]
    Issuer(#[from] WrongUrl),
    /// An address with more than a provider's name.
    #[error("issuer must have neither a query nor a fragment")]
    IssuerQuery,
    /// An empty field.
    #[error("{field} must not be empty")]
    Empty {
        /// Its name.
        field: &'static str,
    },
    /// Not as the standard has them.
    #[error("scopes: {scope:?} is no scope")]
    Scope {
        /// Which.
        scope: String,
    },
    /// There is no such role.
    #[error("roles: {value:?} is mapped to {role:?}; roles are viewer, finance and admin")]
    Role {
        /// The claim's value.
        value: String,
        /// What it is said to be.
        role: String,
    },
    /// The secret cannot be had.
    #[error("clientSecretFile {} cannot be read, or is empty", path.display())]
    Secret {
        /// Which file.
        path: PathBuf,
    },
    /// No authority would be trusted.
    #[error("certificateAuthorityFile {} holds no certificate that can be used", path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    public_url: String,
    providers: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    tenant: String,
    tenant_uid: Option<String>,
    label: Option<String>,
    issuer: String,
    client_id: String,
    client_secret_file: PathBuf,
    certificate_authority_file: Option<PathBuf>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default = "sub")]
    name_claim: String,
    role_claim: String,
    roles: BTreeMap<String, String>,
}

fn sub() -> String {
    "sub".to_owned()
}

impl Settings {
    /// Reads and checks the file, and that each secret is there.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let file = |source| SettingsError::File {
            path: path.to_owned(),
            source,
        };
        if std::fs::metadata(path).map_err(file)?.len() > MAX_FILE {
            return Err(SettingsError::TooLong {
                path: path.to_owned(),
            });
        }
        let text = std::fs::read_to_string(path).map_err(file)?;
        let file: File = serde_saphyr::from_str(&text).map_err(|source| SettingsError::Syntax {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut providers = Vec::new();
        for (name, entry) in file.providers {
            let provider = provider_of(&name, entry, folder);
            providers.push(provider.map_err(|source| SettingsError::Entry { name, source })?);
        }
        if providers.is_empty() {
            return Err(SettingsError::NoProviders);
        }
        has_clients_of_their_own(&providers)?;
        Ok(Self {
            public_url: origin_of(&file.public_url).ok_or(SettingsError::PublicUrl)?,
            providers,
        })
    }
}

/// Of two entries with one client a token for the one would be good for the other, also of another tenant.
fn has_clients_of_their_own(providers: &[ProviderSettings]) -> Result<(), SettingsError> {
    let mut seen = BTreeMap::new();
    for provider in providers {
        let client = (
            provider.issuer.as_str().trim_end_matches('/'),
            provider.client_id.as_str(),
        );
        if let Some(one) = seen.insert(client, &provider.name) {
            return Err(SettingsError::SameClient {
                one: one.clone(),
                other: provider.name.clone(),
            });
        }
    }
    Ok(())
}

/// Scheme, host and port; `None` if there is more, or somebody could read along.
fn origin_of(url: &str) -> Option<String> {
    check_url(url).ok()?;
    let uri: Uri = url.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
    let is_origin = matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.contains('@');
    let has_no_more = url.trim_end_matches('/').len() == scheme.len() + 3 + authority.len();
    (is_origin && has_no_more).then(|| format!("{scheme}://{authority}"))
}

fn provider_of(name: &str, entry: Value, folder: &Path) -> Result<ProviderSettings, EntryError> {
    let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_of_name) {
        return Err(EntryError::Name);
    }
    let entry: Entry = serde_json::from_value(entry)?;
    let issuer = issuer_of(entry.issuer)?;
    let label = entry
        .label
        .unwrap_or_else(|| issuer.url().host_str().unwrap_or_default().to_owned());
    let length = label.chars().count();
    if label.trim().is_empty() || length > MAX_LABEL || label.chars().any(char::is_control) {
        return Err(EntryError::Label);
    }
    for (field, text) in [
        ("clientId", &entry.client_id),
        ("nameClaim", &entry.name_claim),
        ("roleClaim", &entry.role_claim),
    ] {
        if text.is_empty() {
            return Err(EntryError::Empty { field });
        }
    }
    if let Some(scope) = entry.scopes.iter().find(|scope| !is_scope(scope)) {
        return Err(EntryError::Scope { scope: scope.clone() });
    }
    let client_secret_file = folder.join(entry.client_secret_file);
    if secret_in(&client_secret_file).is_none() {
        return Err(EntryError::Secret {
            path: client_secret_file,
        });
    }
    let tenant = |field| move |_| EntryError::Tenant { field };
    Ok(ProviderSettings {
        name: name.to_owned(),
        tenant: TenantId::parse(entry.tenant).map_err(tenant("tenant"))?,
        tenant_uid: entry
            .tenant_uid
            .map(TenantUid::parse)
            .transpose()
            .map_err(tenant("tenantUid"))?,
        label,
        issuer,
        client_id: entry.client_id,
        client_secret_file,
        authorities: authorities_of(entry.certificate_authority_file, folder)?,
        scopes: entry.scopes,
        name_claim: entry.name_claim,
        role_claim: entry.role_claim,
        roles: roles_of(entry.roles)?,
    })
}

fn issuer_of(text: String) -> Result<IssuerUrl, EntryError> {
    check_url(&text)?;
    let issuer = IssuerUrl::new(text).map_err(|_| WrongUrl::Syntax)?;
    if issuer.url().query().is_some() || issuer.url().fragment().is_some() {
        return Err(EntryError::IssuerQuery);
    }
    Ok(issuer)
}

/// As RFC 6749 has them.
fn is_scope(text: &str) -> bool {
    let is_of_scope = |c: char| matches!(c, '\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e');
    !text.is_empty() && text.chars().all(is_of_scope)
}

fn roles_of(texts: BTreeMap<String, String>) -> Result<BTreeMap<String, Role>, EntryError> {
    if texts.is_empty() {
        return Err(EntryError::Empty { field: "roles" });
    }
    let role_of = |(value, role): (String, String)| match Role::named(&role) {
        Some(_) if value.is_empty() => Err(EntryError::Empty {
            field: "a value in roles",
        }),
        Some(known) => Ok((value, known)),
        None => Err(EntryError::Role { value, role }),
    };
    texts.into_iter().map(role_of).collect()
}

fn authorities_of(file: Option<PathBuf>, folder: &Path) -> Result<RootCertStore, EntryError> {
    let Some(file) = file else {
        return Ok(public_authorities());
    };
    let path = folder.join(file);
    let read = || {
        let certificates: Vec<_> = CertificateDer::pem_file_iter(&path)
            .ok()?
            .collect::<Result<_, _>>()
            .ok()?;
        let mut authorities = RootCertStore::empty();
        for certificate in certificates {
            authorities.add(certificate).ok()?;
        }
        (!authorities.is_empty()).then_some(authorities)
    };
    read().ok_or(EntryError::Authority { path: path.clone() })
}

/// A secret as people put it into files: what stands around it is not of it.
pub(super) fn secret_in(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let secret = text.trim();
    (!secret.is_empty()).then(|| secret.to_owned())
}
