//! Signing in at a provider that the test plays, with every wrong token, and from every wrong browser.

mod asked;
mod provider;
mod refusals;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use provider::{Key, Played};
use serde_json::json;

use super::*;
use crate::openid_connect::{OpenIdConnect, Settings};

const PUBLIC_URL: &str = "https://billing.example.com";
const RETURN: &str = "/sign-in/openid-connect/acme/return";

/// Two firms with a provider each, at which their people sign in.
struct Portal {
    bench: Bench,
    key: Key,
    acme: Played,
    other: Played,
}

/// A browser that was sent to a provider.
struct Begun {
    cookie: String,
    sent: BTreeMap<String, String>,
}

impl Portal {
    async fn start() -> Self {
        Self::with_settings(settings).await
    }

    async fn with_settings(settings: impl Fn(&Played, &Played) -> String) -> Self {
        let key = Key::new("1");
        let (acme, other) = (Played::start(&key).await, Played::start(&key).await);
        let text = settings(&acme, &other);
        let bench = bench_with(&text).await;
        Self {
            bench,
            key,
            acme,
            other,
        }
    }

    async fn begin_at(&self, provider: &str) -> Begun {
        let (status, headers, page) = self
            .bench
            .get(&format!("/sign-in/openid-connect/{provider}"), &[])
            .await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
        let cookie = self.bench.session_of(headers["set-cookie"].to_str().unwrap());
        let location = headers["location"].to_str().unwrap();
        Begun {
            cookie,
            sent: query_of(location),
        }
    }

    /// A right token for who was sent.
    fn claims(&self, begun: &Begun) -> Value {
        json!({
            "iss": self.acme.issuer(), "aud": "springtide", "sub": "17", "email": "ann@acme.example",
            "nonce": begun.sent["nonce"], "iat": now().as_second(), "exp": now().as_second() + 300,
            "groups": ["golf", "finance-team"],
        })
    }

    async fn come_back(&self, path: &str, cookie: &str) -> (StatusCode, header::HeaderMap, String) {
        self.bench
            .get(path, &[("cookie", cookie), ("accept-language", "en")])
            .await
    }

    /// The way back of a browser, whose provider gives this token.
    async fn finish(&self, begun: &Begun, token: String) -> (StatusCode, header::HeaderMap, String) {
        self.acme.script.lock().token = Some(token);
        let path = format!("{RETURN}?code=c0de&state={}", begun.sent["state"]);
        self.come_back(&path, &begun.cookie).await
    }

    /// Signs in, and returns the session's cookie.
    async fn session(&self) -> String {
        let begun = self.begin_at("acme").await;
        let token = self.key.sign(&self.claims(&begun));
        let (status, headers, page) = self.finish(&begun, token).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        session_in(&headers).unwrap()
    }
}

/// With a clock that can be set, and the settings' file.
async fn bench_with(settings: &str) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::connect(&format!("sqlite://{}/billing.db", folder.path().display()), true)
        .await
        .unwrap();
    let settings = settings_in(&folder, settings);
    bench_of(store, folder, |clock| {
        Some(OpenIdConnect::new(settings, clock).unwrap())
    })
    .await
}

impl Bench {
    /// The same database behind a server that was started anew, with other settings.
    async fn restarted(&self, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings_in(&folder, settings);
        let providers = OpenIdConnect::new(settings, self.clock.clone()).unwrap();
        Self {
            routes: routes_on(&self.store, &self.clock, Some(providers)).await,
            clock: self.clock.clone(),
            store: self.store.clone(),
            _folder: folder,
        }
    }
}

fn settings_in(folder: &tempfile::TempDir, text: &str) -> Settings {
    let file = folder.path().join("openid-connect.yaml");
    std::fs::write(&file, text).unwrap();
    std::fs::write(folder.path().join("secret"), "s3cret\n").unwrap();
    Settings::read(&file).unwrap()
}

fn settings(acme: &Played, other: &Played) -> String {
    let entry = |tenant: &str, issuer: String| {
        format!(
            "  {tenant}: {{tenant: {tenant}, label: {tenant} staff, issuer: '{issuer}', clientId: springtide, \
             clientSecretFile: secret, scopes: [email, groups], nameClaim: email, roleClaim: groups, \
             roles: {{staff: viewer, finance-team: finance, it: admin}}}}\n"
        )
    };
    format!(
        "publicUrl: {PUBLIC_URL}\nproviders:\n{}{}",
        entry("acme", acme.issuer()),
        entry("other", other.issuer())
    )
}

fn query_of(location: &str) -> BTreeMap<String, String> {
    let (_, query) = location.split_once('?').unwrap();
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
    pairs
        .map(|(name, value)| {
            let plain = value.replace("%3A", ":").replace("%2F", "/").replace('+', " ");
            (name.to_owned(), plain)
        })
        .collect()
}

/// The session that an answer opens, as a browser sends it back.
fn session_in(headers: &header::HeaderMap) -> Option<String> {
    let mut cookies = headers
        .get_all("set-cookie")
        .iter()
        .map(|value| value.to_str().unwrap());
    let session = cookies.find(|cookie| cookie.starts_with("springtide_session="))?;
    session.split(';').next().map(str::to_owned)
}

fn later(minutes: i64) -> Timestamp {
    now().checked_add(SignedDuration::from_mins(minutes)).unwrap()
}

#[tokio::test]
async fn who_is_sent_carries_everything_that_binds_the_way_back_to_this_browser() {
    let portal = Portal::start().await;
    let (_, headers, _) = portal.bench.get("/sign-in/openid-connect/acme", &[]).await;
    let cookie = headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-springtide_sign_in="), "{cookie}");
    for part in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=600"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let location = headers["location"].to_str().unwrap();
    assert!(
        location.starts_with(&format!("{}/authorize?", portal.acme.issuer())),
        "{location}"
    );
    let sent = query_of(location);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "springtide"),
        ("redirect_uri", &format!("{PUBLIC_URL}{RETURN}")),
        ("scope", "openid email groups"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(sent[name], value);
    }
    let begun = portal.begin_at("acme").await;
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(sent[name].len(), 43, "{name}");
        assert_ne!(sent[name], begun.sent[name], "another attempt has another {name}");
    }
    let secret = cookie.split(['=', ';']).nth(1).unwrap();
    assert!(!location.contains(secret));
}

#[tokio::test]
async fn whom_the_provider_vouches_for_is_signed_in_and_named_in_the_audit() {
    let portal = Portal::start().await;
    let begun = portal.begin_at("acme").await;
    let token = portal.key.sign(&portal.claims(&begun));
    let (status, headers, page) = portal.finish(&begun, token).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert_eq!(headers["refresh"], "0; url=/portal");
    let cookies: Vec<_> = headers
        .get_all("set-cookie")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert!(
        cookies[0].contains("SameSite=Strict")
            && cookies[0].contains("HttpOnly")
            && cookies[0].contains("; Secure"),
        "{cookies:?}"
    );
    assert!(
        cookies[1].starts_with("__Host-springtide_sign_in=;") && cookies[1].contains("Max-Age=0"),
        "{cookies:?}"
    );
    let (authorization, form) = portal.acme.script.lock().exchanges[0].clone();
    // base64 of springtide:s3cret
    assert_eq!(authorization, "Basic c3ByaW5ndGlkZTpzM2NyZXQ=");
    let form = query_of(&format!("?{form}"));
    let challenge = ring::digest::digest(&ring::digest::SHA256, form["code_verifier"].as_bytes());
    assert_eq!(
        base64::Engine::encode(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            challenge.as_ref()
        ),
        begun.sent["code_challenge"]
    );
    assert_eq!(
        (form["code"].as_str(), form["redirect_uri"].as_str()),
        ("c0de", begun.sent["redirect_uri"].as_str())
    );

    let cookie = session_in(&headers).unwrap();
    let (status, _, page) = portal
        .bench
        .get("/portal?period=2026-11", &[("cookie", &cookie)])
        .await;
    assert!(status == StatusCode::OK && page.contains("&lt;b&gt;acme"));
    // As a session of the role finance.
    let allowed = portal
        .bench
        .post("/portal/budget", &cookie, "amount=100&thresholds=50")
        .await;
    assert_eq!(allowed.0, StatusCode::SEE_OTHER, "{}", allowed.2);
    let refused = portal
        .bench
        .post("/portal/access/tokens", &cookie, "name=a&role=admin&days=1")
        .await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    let who = format!("ann@acme.example (17, {})", portal.acme.issuer());
    let noted: Vec<_> = portal.bench.store.audit(1, 10).await.unwrap();
    let noted: Vec<_> = noted
        .iter()
        .rev()
        .map(|entry| (entry.actor.as_str(), entry.role.as_str(), entry.action.as_str()))
        .collect();
    assert_eq!(
        noted,
        [
            (who.as_str(), "finance", "sign in"),
            (who.as_str(), "finance", "set budget")
        ]
    );

    let request = Request::post("/sign-out")
        .header("cookie", &cookie)
        .body(Body::empty());
    portal.bench.send(request.unwrap()).await;
    let (status, ..) = portal.bench.get("/portal", &[("cookie", &cookie)]).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "signing out ends it");
}

#[tokio::test]
async fn a_session_ends_with_its_time_and_with_the_providers_entry() {
    let portal = Portal::start().await;
    let cookie = portal.session().await;
    let opens = async |bench: &Bench| bench.get("/portal", &[("cookie", &cookie)]).await.0 == StatusCode::OK;
    assert!(opens(&portal.bench).await);
    portal.bench.clock.set(later(8 * 60));
    assert!(!opens(&portal.bench).await, "after eight hours");
    portal.bench.clock.set(now());
    let without = |text: String| text.replace("  acme: {tenant: acme,", "  former: {tenant: acme,");
    let moved = |text: String| text.replace("  acme: {tenant: acme,", "  acme: {tenant: other,");
    let another = |text: String| text.replace("{tenant: acme,", "{tenant: acme, tenantUid: uid-another,");
    let same = |text: String| text.replace("{tenant: acme,", "{tenant: acme, tenantUid: uid-acme,");
    let changes: [(&dyn Fn(String) -> String, bool); 4] = [
        (&without, false),
        (&moved, false),
        (&another, false),
        (&same, true),
    ];
    for (number, (change, stays)) in changes.into_iter().enumerate() {
        let text = change(settings(&portal.acme, &portal.other));
        let restarted = portal.bench.restarted(&text).await;
        assert_eq!(opens(&restarted).await, stays, "change {number}");
    }
}

#[tokio::test]
async fn the_sign_in_page_shows_providers_only_to_who_names_the_firm() {
    let portal = Portal::with_settings(|acme, other| {
        let text = settings(acme, other);
        text.replace("label: acme staff", "label: <Acme> staff")
    })
    .await;
    let page = async |path: &str| {
        let (status, _, page) = portal.bench.get(path, &[("accept-language", "en")]).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        page
    };
    let nobody = page("/").await;
    assert!(nobody.contains(r#"name="tenant""#) && nobody.contains(r#"name="token""#));
    assert!(!nobody.contains("staff") && !nobody.contains("acme staff"));
    let acme = page("/sign-in?tenant=acme").await;
    assert!(
        acme.contains(r#"href="/sign-in/openid-connect/acme""#)
            && acme.contains("Sign in with &lt;Acme&gt; staff"),
        "{acme}"
    );
    assert!(acme.contains(r#"name="token""#) && !acme.contains("openid-connect/other"));
    // "standard" has neither account nor provider; a firm with an account and no provider is asked for below.
    let unknown = page("/sign-in?tenant=nobody").await;
    assert!(unknown.contains("There is no sign-in of its own"));
    let without = portal
        .bench
        .restarted(
            &settings(&portal.acme, &portal.other).replace("  other: {tenant: other,", "  x: {tenant: x,"),
        )
        .await;
    let known = without
        .get("/sign-in?tenant=other", &[("accept-language", "en")])
        .await
        .2;
    assert_eq!(
        known.replace("other", "nobody"),
        unknown,
        "a known firm without a provider is like one that is not known"
    );
    for odd in ["%22%3E%3Cscript%3E", "ACME", "a%20b", ""] {
        let page = page(&format!("/sign-in?tenant={odd}")).await;
        assert!(
            !page.contains("<script") && !page.contains("openid-connect/"),
            "{odd}"
        );
    }
    for absent in ["nobody", "ACME", "acme%2Freturn"] {
        let (status, ..) = portal
            .bench
            .get(&format!("/sign-in/openid-connect/{absent}"), &[])
            .await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{absent}");
    }
}

#[tokio::test]
async fn without_the_settings_nothing_of_it_is_there() {
    let bench = bench().await;
    let (_, _, page) = bench.get("/sign-in?tenant=acme", &[]).await;
    assert!(page.contains(r#"name="token""#) && !page.contains(r#"name="tenant""#));
    for path in ["/sign-in/openid-connect/acme", RETURN] {
        assert_eq!(bench.get(path, &[]).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}
