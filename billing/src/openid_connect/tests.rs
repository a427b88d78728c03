//! The settings' file: what it says, and what is refused, by which words.

use std::path::Path;

use super::*;
use crate::store::Role;

const ENTRY: &str = "{tenant: acme, issuer: 'https://login.acme.example/a', clientId: c, clientSecretFile: secret, roleClaim: groups, roles: {it: admin}}";

/// Reads it from a folder with a secret, an empty file and a certificate that is none.
fn read(text: &str) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("file.yaml", text);
    write("secret", " s3cret \n");
    write("empty", "\n");
    write("no.pem", "no certificate");
    let settings = Settings::read(&folder.path().join("file.yaml"));
    settings.map_err(|error| crate::store::with_causes(&error))
}

fn file(entries: &str) -> String {
    format!("publicUrl: https://billing.example.com/\nproviders:\n{entries}")
}

#[test]
fn an_entry_says_all_and_much_has_a_default() {
    let settings = read(&file(&format!(
        "  acme: {ENTRY}\n  acme-2: {}",
        ENTRY.replace("clientId: c", "clientId: d").replace(
            "{tenant",
            "{label: Staff, nameClaim: email, scopes: [groups], tenantUid: u, tenant"
        )
    )))
    .unwrap();
    assert_eq!(settings.public_url, "https://billing.example.com");
    let [one, two] = &settings.providers[..] else {
        panic!("{settings:?}")
    };
    assert_eq!(
        (one.name.as_str(), one.label.as_str(), one.name_claim.as_str()),
        ("acme", "login.acme.example", "sub")
    );
    assert!(one.scopes.is_empty() && one.tenant_uid.is_none());
    assert_eq!(one.roles["it"], Role::Admin);
    assert_eq!(
        (two.name.as_str(), two.label.as_str(), two.name_claim.as_str()),
        ("acme-2", "Staff", "email")
    );
    assert_eq!(two.tenant_uid.as_ref().unwrap().as_str(), "u");
}

#[test]
fn a_secret_is_what_stands_in_its_file_without_the_space_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, " s3 cret\r\n").unwrap();
    assert_eq!(settings::secret_in(&path).unwrap(), "s3 cret");
    assert_eq!(settings::secret_in(Path::new("/nowhere")), None);
}

#[test]
fn what_is_wrong_with_an_entry_is_said_with_its_name() {
    for (from, to, needed) in [
        ("tenant: acme", "tenant: ACME", "tenant is no tenant that"),
        (
            "tenant: acme",
            "tenant: acme, tenantUid: ''",
            "tenantUid is no tenantUid",
        ),
        ("tenant: acme, ", "", "missing field `tenant`"),
        ("clientId: c", "clientID: c", "unknown field `clientID`"),
        ("clientId: c", "clientId: ''", "clientId must not be empty"),
        (
            "clientId: c",
            "clientId: c, nameClaim: ''",
            "nameClaim must not be empty",
        ),
        ("groups", "''", "roleClaim must not be empty"),
        ("https://login", "http://login", "must begin with https://"),
        (
            "https://login.acme.example/a",
            "login",
            "must begin with https://",
        ),
        ("example/a", "example/a?b=c", "neither a query"),
        ("example/a", "example/a#b", "neither a query"),
        ("{it: admin}", "{it: root}", "\"it\" is mapped to \"root\""),
        ("{it: admin}", "{}", "roles must not be empty"),
        ("{it: admin}", "{'': admin}", "a value in roles must not be empty"),
        (
            "clientId: c",
            "clientId: c, scopes: ['a b']",
            "\"a b\" is no scope",
        ),
        ("clientId: c", "clientId: c, label: ' '", "label must be"),
        ("File: secret", "File: empty", "cannot be read, or is empty"),
        ("File: secret", "File: absent", "cannot be read, or is empty"),
        (
            "clientId: c",
            "clientId: c, certificateAuthorityFile: no.pem",
            "holds no certificate",
        ),
    ] {
        assert!(ENTRY.contains(from), "{from}");
        let error = read(&file(&format!("  acme: {}", ENTRY.replace(from, to)))).unwrap_err();
        assert!(
            error.starts_with("provider \"acme\": ") && error.contains(needed),
            "{to}: {error}"
        );
    }
    for name in ["Acme", "a/b", "a_b", "''", &"a".repeat(41)] {
        let error = read(&file(&format!("  {name}: {ENTRY}"))).unwrap_err();
        assert!(error.contains("its name must be"), "{name}: {error}");
    }
}

#[test]
fn what_contradicts_itself_or_is_no_file_of_ours_is_refused() {
    let two = |change: &str| {
        let other = ENTRY.replace("tenant: acme", "tenant: other");
        file(&format!(
            "  acme: {ENTRY}\n  other: {}",
            other.replace("/a'", change)
        ))
    };
    for same in ["/a'", "/a/'"] {
        let error = read(&two(same)).unwrap_err();
        assert!(
            error.contains("\"acme\" and \"other\" have the same issuer and clientId"),
            "{error}"
        );
    }
    read(&two("/b'")).unwrap();
    let good = file(&format!("  acme: {ENTRY}"));
    for (from, to, needed) in [
        ("https://billing", "http://billing", "publicUrl"),
        ("example.com/", "example.com/portal", "publicUrl"),
        ("example.com/", "example.com/?a", "publicUrl"),
        ("example.com/", "example.com/#a", "publicUrl"),
        ("https://billing", "https://me@billing", "publicUrl"),
        ("publicUrl", "publicURL", "unknown field"),
        ("publicUrl: https://billing.example.com/", "", "missing field"),
        ("providers:", "providers: {}\nprovider:", "unknown field"),
        ("  acme: ", "  acme: {}\n  acme: ", "duplicate"),
        ("  acme: ", "  acme: [", "file.yaml is not understood"),
    ] {
        let error = read(&good.replace(from, to)).unwrap_err();
        assert!(error.contains(needed), "{to}: {error}");
    }
    assert!(read(&file("  {}")).unwrap_err().contains("at least one"));
    assert!(read(&" ".repeat(2 << 20)).unwrap_err().contains("longer than"));
    assert!(Settings::read(Path::new("/nowhere")).is_err());
    assert!(read(&good.replace("https://billing.example.com/", "http://127.0.0.1:8081")).is_ok());
}

#[test]
fn no_secret_is_in_what_is_printed() {
    let settings = read(&file(&format!("  acme: {ENTRY}"))).unwrap();
    assert!(!format!("{settings:?}").contains("s3cret"));
}
