//! Signing in at a firm's own provider: a real one, oidc-provider, which runs for the time of a test.
//!
//! Portal and provider are on addresses that a browser takes for two sites, as they are in life.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::{Value, json};
use springtide_billing::openid_connect::{OpenIdConnect, Settings};
use springtide_runtime::clock::SystemClock;

use super::FIRST;
use super::chromium::{Browser, NARROW, PATIENCE, WIDE, fits_and_is_named, take};
use super::sample::{LEGAL_NAME, NUMBER, Portal};

const SECRET: &str = "a secret of at least 32 characters";

/// A provider that knows Ann, who is in finance, and Bob, who is in no group.
struct Provider {
    node: Child,
    issuer: String,
}

impl Drop for Provider {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.node.kill());
        drop(self.node.wait());
    }
}

/// Where the provider's program is; `None`, with a word about it, where it was not installed. In CI that is a failure.
fn program() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/openid-provider");
    if folder.join("node_modules").is_dir() {
        return Some(folder.join("provider.mjs"));
    }
    assert!(
        std::env::var("CI").is_err(),
        "the OpenID provider must be installed in CI"
    );
    eprintln!("skipped: `npm ci` was not run in {}", folder.display());
    None
}

impl Provider {
    /// For a portal at that address. A free port is one that was free a moment ago.
    fn start(program: &Path, portal: SocketAddr) -> Self {
        let port = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
        let issuer = format!("http://{port}");
        let redirect = format!("http://{portal}/sign-in/openid-connect/staff/return");
        let said = json!({
            "issuer": issuer,
            "clients": [{"client_id": "springtide", "client_secret": SECRET, "redirect_uris": [redirect]}],
            "people": {
                "ann": {"email": "ann@acme.example", "groups": ["golf", "finance-team"]},
                "bob": {"email": "bob@acme.example", "groups": ["golf"]},
            },
        });
        let node = Command::new("node")
            .arg(program)
            .arg(said.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { node, issuer }
    }

    /// Providers' words are judged by the machine's clock: this one's are made by that.
    fn as_settings(&self, portal: SocketAddr, folder: &Path) -> OpenIdConnect {
        let file = folder.join("openid-connect.yaml");
        let settings = json!({"publicUrl": format!("http://{portal}"), "providers": {"staff": {
            "tenant": "acme", "label": "Acme", "issuer": self.issuer, "clientId": "springtide", "clientSecretFile": "secret",
            "scopes": ["email", "groups"], "nameClaim": "email", "roleClaim": "groups", "roles": {"finance-team": "finance"},
        }}});
        std::fs::write(&file, settings.to_string()).unwrap();
        std::fs::write(folder.join("secret"), SECRET).unwrap();
        OpenIdConnect::new(Settings::read(&file).unwrap(), Arc::new(SystemClock)).unwrap()
    }

    async fn answers(&self) {
        let address = self.issuer.strip_prefix("http://").unwrap().to_owned();
        let answering = async {
            while tokio::net::TcpStream::connect(&address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answering)
            .await
            .expect("the provider must start");
    }
}

/// The portal with its provider; `None` where that was not installed.
async fn start(folder: &Path) -> Option<(Portal, Provider)> {
    let program = program()?;
    let mut provider = None;
    let portal = Portal::start_with(FIRST, |address| {
        let started = Provider::start(&program, address);
        let settings = started.as_settings(address, folder);
        provider = Some(started);
        Some(settings)
    })
    .await;
    let provider = provider.unwrap();
    provider.answers().await;
    Some((portal, provider))
}

impl Browser {
    /// From the sign-in page to the provider's own page, without a mouse.
    async fn go_to_the_provider(&self, firm: &str) {
        self.open("/").await;
        self.reach("tenant").await;
        self.press(firm).await;
        self.press(&char::from(Key::Enter).to_string()).await;
        self.wait_for("a[href='/sign-in/openid-connect/staff']").await;
        self.has_asked_nobody_else().await;
        let script = "document.querySelector(\"a[href='/sign-in/openid-connect/staff']\").focus();";
        self.client.execute(script, vec![]).await.unwrap();
        self.press(&char::from(Key::Enter).to_string()).await;
    }

    async fn sign_in_there(&self, login: &str) {
        self.wait_for("#login").await.send_keys(login).await.unwrap();
        self.press(&char::from(Key::Enter).to_string()).await;
    }

    async fn reach(&self, id: &str) {
        for _ in 0..12 {
            let focused = self
                .client
                .execute("return document.activeElement.id;", vec![])
                .await;
            if focused.unwrap() == json!(id) {
                return;
            }
            self.press(&char::from(Key::Tab).to_string()).await;
        }
        panic!("{id} is not reached by the keyboard");
    }

    async fn wait_for(&self, css: &str) -> fantoccini::elements::Element {
        let found = self
            .client
            .wait()
            .at_most(PATIENCE)
            .for_element(Locator::Css(css));
        found.await.unwrap_or_else(|error| panic!("{css}: {error}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_at_the_firms_own_provider_and_reads_the_bill() {
    let folder = tempfile::tempdir().unwrap();
    let Some((portal, provider)) = start(folder.path()).await else {
        return;
    };
    let Some(browser) = Browser::start(portal.address, WIDE).await else {
        return;
    };
    browser.open("/?lang=en").await;
    browser.go_to_the_provider("acme").await;
    let there = browser.wait_for("#login").await;
    drop(there);
    let at = browser.client.current_url().await.unwrap();
    assert!(at.as_str().starts_with(&provider.issuer), "{at}");
    browser.sign_in_there("ann").await;
    browser.wait_for("#live").await;
    browser.has_asked_nobody_else().await;
    browser.follow_text(NUMBER).await;
    browser.says(LEGAL_NAME).await;

    let cookies: Value = browser
        .client
        .get_all_cookies()
        .await
        .unwrap()
        .iter()
        .map(|cookie| cookie.name().to_owned())
        .collect();
    assert!(!cookies.to_string().contains("springtide_sign_in"), "{cookies}");
    let audit = portal.store.audit(1, 10).await.unwrap();
    let who = format!("ann@acme.example (ann, {})", provider.issuer);
    let signed_in: Vec<_> = audit.iter().filter(|entry| entry.action == "sign in").collect();
    assert_eq!(signed_in.len(), 1);
    assert_eq!(
        (signed_in[0].actor.as_str(), signed_in[0].role.as_str()),
        (who.as_str(), "finance")
    );

    let button = browser.client.find(Locator::XPath("//button[text()='Sign out']"));
    button.await.unwrap().click().await.unwrap();
    browser.says("Sign in").await;
    browser.open("/portal").await;
    browser.says("Sign in").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_without_a_role_is_told_so_and_every_page_of_signing_in_fits_a_phone() {
    let folder = tempfile::tempdir().unwrap();
    let Some((portal, _provider)) = start(folder.path()).await else {
        return;
    };
    let pictures = std::env::var_os("SPRINGTIDE_SCREENSHOTS").map(PathBuf::from);
    let Some(browser) = Browser::start(portal.address, NARROW).await else {
        return;
    };
    for (tag, no_access, none) in [
        ("en", "gives you no access here", "There is no sign-in of its own"),
        ("zh-CN", "未授予您此处的访问权限", "没有对应的统一登录"),
    ] {
        let look = async |name: &str| {
            fits_and_is_named(&browser, &format!("{name} {tag}")).await;
            take(&browser, pictures.as_deref(), &format!("{name}-{tag}-narrow")).await;
        };
        browser.open(&format!("/?lang={tag}")).await;
        look("sign-in-firm").await;
        browser.open("/sign-in?tenant=nobody").await;
        browser.says(none).await;
        look("sign-in-no-provider").await;
        browser.open("/sign-in?tenant=acme").await;
        look("sign-in-provider").await;
        browser.client.delete_all_cookies().await.unwrap();
        browser.open(&format!("/?lang={tag}")).await;
        browser.go_to_the_provider("acme").await;
        // The provider remembers who signed in there.
        if tag == "en" {
            browser.sign_in_there("bob").await;
        }
        browser.says(no_access).await;
        look("sign-in-no-role").await;
    }
    browser.close().await;
}
