//! What a client firm does on the first of a month, in a real browser: Debian's Chromium, driven by chromedriver.
//!
//! `SPRINGTIDE_SCREENSHOTS` names a folder for pictures of all pages, in both languages, wide, narrow and dark.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod sample;
mod sign_in;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::key::Key;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use sample::{LEGAL_NAME, NUMBER, Portal, TOKEN};
use serde_json::{Value, json};

/// The first of December, in Shanghai.
const FIRST: &str = "2026-12-01T02:10:00Z";
const MID_MONTH: &str = "2026-11-20T06:10:00Z";
const PATIENCE: Duration = Duration::from_secs(20);

/// How a page is looked at.
#[derive(Clone, Copy)]
struct Look {
    name: &'static str,
    width: u32,
    height: u32,
    is_dark: bool,
}

const WIDE: Look = Look {
    name: "wide",
    width: 1280,
    height: 900,
    is_dark: false,
};
const NARROW: Look = Look {
    name: "narrow",
    width: 390,
    height: 844,
    is_dark: false,
};
const DARK: Look = Look {
    name: "dark",
    width: 1280,
    height: 900,
    is_dark: true,
};

/// A chromedriver with one browser.
struct Browser {
    driver: Child,
    client: Client,
    downloads: tempfile::TempDir,
    origin: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

impl Browser {
    /// `None`, with a word about it, where there is no browser; in CI that is a failure.
    async fn start(portal: &Portal, look: Look) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(driver) = driver else {
            assert!(
                std::env::var("CI").is_err(),
                "chromium and chromium-driver must be installed in CI"
            );
            eprintln!("skipped: there is no chromedriver");
            return None;
        };
        let downloads = tempfile::tempdir().unwrap();
        let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
        builder.capabilities(capabilities(look, downloads.path()));
        let address = format!("http://127.0.0.1:{port}");
        let connecting = async {
            loop {
                match builder.connect(&address).await {
                    Ok(client) => return client,
                    Err(error) => {
                        eprintln!("not yet: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        };
        let client = tokio::time::timeout(PATIENCE * 2, connecting)
            .await
            .expect("the browser must start");
        Some(Self {
            driver,
            client,
            downloads,
            origin: format!("http://{}", portal.address),
        })
    }

    async fn open(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.origin)).await.unwrap();
        self.has_asked_nobody_else().await;
    }

    /// Every request of the page went to where the page came from.
    async fn has_asked_nobody_else(&self) {
        let script = "return performance.getEntriesByType('resource').map(entry => entry.name).concat([location.href]);";
        let asked = self.client.execute(script, vec![]).await.unwrap();
        for address in asked.as_array().unwrap() {
            let address = address.as_str().unwrap();
            assert!(
                address.starts_with(&self.origin) || address.starts_with("data:"),
                "the page asked {address}"
            );
        }
    }

    async fn follow(&self, css: &str) {
        let link = self
            .client
            .wait()
            .at_most(PATIENCE)
            .for_element(Locator::Css(css))
            .await;
        link.unwrap_or_else(|error| panic!("{css}: {error}"))
            .click()
            .await
            .unwrap();
        self.has_asked_nobody_else().await;
    }

    async fn follow_text(&self, text: &str) {
        let link = self
            .client
            .wait()
            .at_most(PATIENCE)
            .for_element(Locator::LinkText(text))
            .await;
        link.unwrap_or_else(|error| panic!("{text}: {error}"))
            .click()
            .await
            .unwrap();
        self.has_asked_nobody_else().await;
    }

    async fn text(&self) -> String {
        let script = "return document.querySelector('main')?.innerText ?? '';";
        let text = self.client.execute(script, vec![]).await;
        // While one page makes way for another there is none.
        text.ok()
            .and_then(|text| Some(text.as_str()?.to_owned()))
            .unwrap_or_default()
    }

    /// The page says so, once it is there.
    async fn says(&self, needed: &str) {
        let saying = async {
            while !self.text().await.contains(needed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let has_said = tokio::time::timeout(PATIENCE, saying).await.is_ok();
        let text = self.text().await;
        assert!(has_said, "{needed:?} is missing from {text:?}");
    }

    async fn press(&self, keys: &str) {
        let press = |actions: KeyActions, value: char| {
            actions
                .then(KeyAction::Down { value })
                .then(KeyAction::Up { value })
        };
        let actions = keys.chars().fold(KeyActions::new("keyboard".to_owned()), press);
        self.client.perform_actions(actions).await.unwrap();
    }

    /// Signs in as people do who use no mouse.
    async fn sign_in_by_keyboard(&self) {
        for _ in 0..10 {
            let focused = self
                .client
                .execute("return document.activeElement.id;", vec![])
                .await
                .unwrap();
            if focused == json!("token") {
                self.press(TOKEN).await;
                self.press(&char::from(Key::Enter).to_string()).await;
                let there = self
                    .client
                    .wait()
                    .at_most(PATIENCE)
                    .for_element(Locator::Css("#live"))
                    .await;
                there.expect("the overview must open");
                return;
            }
            self.press(&char::from(Key::Tab).to_string()).await;
        }
        panic!("the field of the token is not reached by the keyboard");
    }

    /// What is downloaded under that name, once it is all there.
    async fn downloaded(&self, name: &str) -> Vec<u8> {
        let path: PathBuf = self.downloads.path().join(name);
        let waiting = async {
            while !path.exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap_or_else(|_| panic!("{name} was not downloaded"));
        std::fs::read(path).unwrap()
    }

    async fn close(self) {
        self.client.clone().close().await.unwrap();
    }
}

fn capabilities(look: Look, downloads: &Path) -> Capabilities {
    let Look {
        width,
        height,
        is_dark,
        ..
    } = look;
    let mut arguments = vec![
        "--headless=new".to_owned(),
        "--no-sandbox".to_owned(),
        "--disable-quic".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        format!("--window-size={width},{height}"),
    ];
    if is_dark {
        arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
    }
    let mut options = json!({
        "args": arguments,
        "prefs": {"download.default_directory": downloads, "download.prompt_for_download": false, "plugins.always_open_pdf_externally": true},
    });
    if width < 500 {
        options["mobileEmulation"] =
            json!({"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2.0}});
    }
    let mut capabilities = Capabilities::new();
    capabilities.insert("goog:chromeOptions".to_owned(), options);
    capabilities
}

/// What the month's work looks like in a language.
struct Words {
    tag: &'static str,
    sign_in: &'static str,
    billed: &'static str,
    drill: &'static str,
    service: &'static str,
    cause: &'static str,
    usage: &'static str,
    sign_out: &'static str,
}

const CHINESE: Words = Words {
    tag: "zh-CN",
    sign_in: "登录",
    billed: "付款方",
    drill: "查看逐条记录",
    service: "服务水平",
    cause: "失败或超时的请求过多",
    usage: "用量（CSV）",
    sign_out: "退出登录",
};
const ENGLISH: Words = Words {
    tag: "en",
    sign_in: "Sign in",
    billed: "Billed to",
    drill: "See the interactions",
    service: "Service level",
    cause: "too many requests failed",
    usage: "Usage (CSV)",
    sign_out: "Sign out",
};

async fn work_of_the_first_of_a_month(words: &Words) {
    let portal = Portal::start(FIRST).await;
    let Some(browser) = Browser::start(&portal, WIDE).await else {
        return;
    };
    browser.open(&format!("/?lang={}", words.tag)).await;
    browser.says(words.sign_in).await;
    browser.sign_in_by_keyboard().await;
    browser.says("2026-12").await;

    browser.follow_text(NUMBER).await;
    browser.says(words.billed).await;
    browser.says(LEGAL_NAME).await;
    let text = browser.text().await;
    assert!(
        text.contains("answers") && text.contains("evening peak") && text.contains("VAT"),
        "{text}"
    );

    browser.follow("p.actions a.button").await;
    let pdf = browser.downloaded(&format!("{NUMBER}.pdf")).await;
    assert!(pdf.starts_with(b"%PDF-"));
    browser.follow_text(words.usage).await;
    let csv = browser.downloaded(&format!("acme-{NUMBER}-usage.csv")).await;
    assert!(
        csv.starts_with(b"time,meter,quantity,"),
        "{:?}",
        String::from_utf8_lossy(&csv[..60])
    );

    browser.follow_text(words.drill).await;
    browser.says("c0ff…00").await;
    browser.follow("a.next").await;
    browser.says("c0ff…00").await;

    browser.follow_text(words.service).await;
    browser.open("/portal/service?period=2026-11").await;
    browser.follow("td.bad a").await;
    browser.says(words.cause).await;
    browser.says("11-11 20:00").await;

    let button = format!("//button[text()='{}']", words.sign_out);
    let button = browser.client.find(Locator::XPath(&button)).await.unwrap();
    button.click().await.unwrap();
    browser.says(words.sign_in).await;
    browser.open("/portal").await;
    browser.says(words.sign_in).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_does_the_work_of_the_first_of_a_month_in_chinese() {
    work_of_the_first_of_a_month(&CHINESE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_does_the_work_of_the_first_of_a_month_in_english() {
    work_of_the_first_of_a_month(&ENGLISH).await;
}

const PAGES: [(&str, &str); 10] = [
    ("overview", "/portal"),
    ("overview-past", "/portal?period=2026-11"),
    ("overview-day", "/portal?period=2026-11&day=2026-11-11"),
    ("bill", "/portal/invoices/SPT-2026-000001"),
    ("interactions", "/portal/interactions?period=2026-11&line=0"),
    ("service", "/portal/service?period=2026-11"),
    ("savings", "/portal/savings"),
    ("budget", "/portal/budget"),
    ("disputes", "/portal/disputes"),
    ("access", "/portal/access"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_fits_a_phone_and_a_wide_screen_and_every_field_has_a_name() {
    let pictures = std::env::var_os("SPRINGTIDE_SCREENSHOTS").map(PathBuf::from);
    let looks: &[Look] = if pictures.is_some() {
        &[WIDE, NARROW, DARK]
    } else {
        &[WIDE, NARROW]
    };
    for now in [FIRST, MID_MONTH] {
        let portal = Portal::start(now).await;
        portal.store.set_setting(1, "budget", "9000").await.unwrap();
        for look in looks {
            let height = if pictures.is_some() { 2400 } else { look.height };
            let look = Look { height, ..*look };
            let Some(browser) = Browser::start(&portal, look).await else {
                return;
            };
            browser.open("/").await;
            take(&browser, pictures.as_deref(), &format!("sign-in-{}", look.name)).await;
            browser.sign_in_by_keyboard().await;
            for tag in ["zh-CN", "en"] {
                for (name, path) in PAGES {
                    let joint = if path.contains('?') { '&' } else { '?' };
                    browser.open(&format!("{path}{joint}lang={tag}")).await;
                    fits_and_is_named(&browser, &format!("{name} {tag} {}", look.name)).await;
                    let month = if now == FIRST { "first" } else { "mid" };
                    take(
                        &browser,
                        pictures.as_deref(),
                        &format!("{month}-{name}-{tag}-{}", look.name),
                    )
                    .await;
                }
            }
            browser.close().await;
        }
    }
}

/// Nothing is wider than the screen, and what people fill in or press has a name for a screen reader.
async fn fits_and_is_named(browser: &Browser, what: &str) {
    let script = "const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
        const nameless = [...document.querySelectorAll('input, select, textarea, button, a')].filter(element =>
            !(element.labels && element.labels.length) && !element.getAttribute('aria-label') && !element.textContent.trim());
        const headings = document.querySelectorAll('h1').length;
        return {wide, nameless: nameless.map(element => element.outerHTML), headings};";
    let found: Value = browser.client.execute(script, vec![]).await.unwrap();
    assert_eq!(found["wide"], 0, "{what} is wider than the screen");
    assert_eq!(found["nameless"], json!([]), "{what}");
    assert_eq!(found["headings"], 1, "{what}");
}

async fn take(browser: &Browser, folder: Option<&Path>, name: &str) {
    let Some(folder) = folder else { return };
    std::fs::create_dir_all(folder).unwrap();

    let picture = browser.client.screenshot().await.unwrap();
    std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
}
