//! What a client firm does on the first of a month, in a real browser: Debian's Chromium, driven by chromedriver.
//!
//! `SPRINGTIDE_SCREENSHOTS` names a folder for pictures of all pages, in both languages, wide, narrow and dark.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod chromium;
mod office;
mod sample;
mod sign_in;

use std::path::PathBuf;

use chromium::{Browser, DARK, Look, NARROW, WIDE, fits_and_is_named, take};
use fantoccini::Locator;
use sample::{LEGAL_NAME, NUMBER, Portal, TOKEN};

/// The first of December, in Shanghai.
const FIRST: &str = "2026-12-01T02:10:00Z";
const MID_MONTH: &str = "2026-11-20T06:10:00Z";

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
    let Some(browser) = Browser::start(portal.address, WIDE).await else {
        return;
    };
    browser.open(&format!("/?lang={}", words.tag)).await;
    browser.says(words.sign_in).await;
    browser.sign_in_by_keyboard(TOKEN).await;
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
            let Some(browser) = Browser::start(portal.address, look).await else {
                return;
            };
            browser.open("/").await;
            take(&browser, pictures.as_deref(), &format!("sign-in-{}", look.name)).await;
            browser.sign_in_by_keyboard(TOKEN).await;
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
