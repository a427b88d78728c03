//! Debian's Chromium, driven by chromedriver.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::key::Key;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How a page is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    pub(crate) name: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) is_dark: bool,
}

pub(crate) const WIDE: Look = Look {
    name: "wide",
    width: 1280,
    height: 900,
    is_dark: false,
};
pub(crate) const NARROW: Look = Look {
    name: "narrow",
    width: 390,
    height: 844,
    is_dark: false,
};
pub(crate) const DARK: Look = Look {
    name: "dark",
    width: 1280,
    height: 900,
    is_dark: true,
};

/// A chromedriver with one browser.
pub(crate) struct Browser {
    driver: Child,
    pub(crate) client: Client,
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
    pub(crate) async fn start(pages: SocketAddr, look: Look) -> Option<Self> {
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
            origin: format!("http://{pages}"),
        })
    }

    pub(crate) async fn open(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.origin)).await.unwrap();
        self.has_asked_nobody_else().await;
    }

    /// Every request of the page went to where the page came from.
    pub(crate) async fn has_asked_nobody_else(&self) {
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

    pub(crate) async fn follow(&self, css: &str) {
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

    pub(crate) async fn follow_text(&self, text: &str) {
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

    pub(crate) async fn text(&self) -> String {
        let script = "return document.querySelector('main')?.innerText ?? '';";
        let text = self.client.execute(script, vec![]).await;
        // While one page makes way for another there is none.
        text.ok()
            .and_then(|text| Some(text.as_str()?.to_owned()))
            .unwrap_or_default()
    }

    /// The page says so, once it is there.
    pub(crate) async fn says(&self, needed: &str) {
        let saying = async {
            while !self.text().await.contains(needed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let has_said = tokio::time::timeout(PATIENCE, saying).await.is_ok();
        let text = self.text().await;
        assert!(has_said, "{needed:?} is missing from {text:?}");
    }

    pub(crate) async fn press(&self, keys: &str) {
        let press = |actions: KeyActions, value: char| {
            actions
                .then(KeyAction::Down { value })
                .then(KeyAction::Up { value })
        };
        let actions = keys.chars().fold(KeyActions::new("keyboard".to_owned()), press);
        self.client.perform_actions(actions).await.unwrap();
    }

    /// Signs in as people do who use no mouse.
    pub(crate) async fn sign_in_by_keyboard(&self, token: &str) {
        for _ in 0..10 {
            let focused = self
                .client
                .execute("return document.activeElement.id;", vec![])
                .await
                .unwrap();
            if focused == json!("token") {
                self.press(token).await;
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
    pub(crate) async fn downloaded(&self, name: &str) -> Vec<u8> {
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

    pub(crate) async fn close(self) {
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

/// Nothing is wider than the screen, and what people fill in or press has a name for a screen reader.
pub(crate) async fn fits_and_is_named(browser: &Browser, what: &str) {
    let script = "const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
        const nameless = [...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a')].filter(element =>
            !(element.labels && element.labels.length) && !element.getAttribute('aria-label') && !element.textContent.trim());
        const headings = document.querySelectorAll('h1').length;
        return {wide, nameless: nameless.map(element => element.outerHTML), headings};";
    let found: Value = browser.client.execute(script, vec![]).await.unwrap();
    assert_eq!(found["wide"], 0, "{what} is wider than the screen");
    assert_eq!(found["nameless"], json!([]), "{what}");
    assert_eq!(found["headings"], 1, "{what}");
}

/// A picture, where there is a folder for them.
pub(crate) async fn take(browser: &Browser, folder: Option<&Path>, name: &str) {
    let Some(folder) = folder else { return };
    std::fs::create_dir_all(folder).unwrap();

    let picture = browser.client.screenshot().await.unwrap();
    std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
}
