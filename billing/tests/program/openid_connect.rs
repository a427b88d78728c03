//! Settings of OpenID providers that cannot be used.

use super::server::binary;

#[tokio::test]
async fn billing_does_not_start_with_settings_that_it_does_not_understand_and_names_the_entry() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openid-connect.yaml");
    let text = "publicUrl: https://billing.example.com\nproviders:\n  acme: {tenant: acme, issuer: 'http://login.acme.example', \
                clientId: c, clientSecretFile: s, roleClaim: groups, roles: {it: admin}}\n";
    std::fs::write(&file, text).unwrap();
    let ended = binary()
        .args(["serve", "--openid-connect"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success());
    assert!(
        said.contains("provider \"acme\": issuer: must begin with https://"),
        "{said}"
    );
}
