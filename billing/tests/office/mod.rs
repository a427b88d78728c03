//! What the provider's own people do at a month's end, in a real browser.

use std::path::PathBuf;

use fantoccini::Locator;

use super::FIRST;
use super::chromium::{Browser, DARK, NARROW, WIDE, fits_and_is_named, take};
use super::sample::{NUMBER, Portal, STAFF_TOKEN};

/// A month of which no bill was issued yet.
const OPEN: &str = "2026-10";

impl Browser {
    async fn press_button(&self, text: &str) {
        let button = format!("//button[starts-with(normalize-space(.), '{text}')]");
        let button = self.client.find(Locator::XPath(&button)).await.unwrap();
        button.click().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reviewer_draws_up_looks_at_and_approves_a_months_bills() {
    let portal = Portal::start(FIRST).await;
    let Some(browser) = Browser::start(portal.office, WIDE).await else {
        return;
    };
    browser.open("/?lang=en").await;
    browser.says("Sign in").await;
    browser.sign_in_by_keyboard(STAFF_TOKEN).await;
    browser.says("Billed").await;

    browser.open(&format!("/office?period={OPEN}")).await;
    browser.press_button("Draw up the drafts of").await;
    // The page itself shows that the run ended, without being asked again.
    browser.says("1 in review").await;
    browser.follow_text("wait for approval").await;
    browser.follow_text("acme").await;
    browser.says("evening peak").await;
    browser.says("first bill").await;
    browser.press_button("Approve and issue this bill").await;
    browser.says("SPT-2026-000002").await;
    browser.follow_text("SPT-2026-000002").await;
    browser.says("office: jo").await;

    browser.follow_text("Plans").await;
    browser.follow_text("standard-2026").await;
    browser.press_button("Try it").await;
    browser.says("By this plan").await;
    browser.press_button("Sign out").await;
    browser.says("Sign in").await;
    browser.open("/office").await;
    browser.says("Sign in").await;
    browser.close().await;
}

const PAGES: [(&str, &str); 8] = [
    ("month", "/office?period=2026-11"),
    ("open-month", "/office?period=2026-10"),
    ("reviews", "/office/reviews?period=2026-10"),
    ("draft", "/office/reviews/1?period=2026-10"),
    ("bill", "/office/bills/SPT-2026-000001"),
    ("disputes", "/office/disputes"),
    ("plan", "/office/plans/standard-2026"),
    ("audit", "/office/audit"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_of_the_back_office_fits_a_phone_and_a_wide_screen() {
    let pictures = std::env::var_os("SPRINGTIDE_SCREENSHOTS").map(PathBuf::from);
    let portal = Portal::start(FIRST).await;
    let dispute = springtide_billing::store::Dispute {
        number: NUMBER.into(),
        line: "answers".into(),
        reason: "We counted fewer in the night of the 11th.".into(),
        opened_by: "finance".into(),
        opened_at: FIRST.parse().unwrap(),
    };
    portal.store.open_dispute(1, &dispute).await.unwrap();
    for look in [WIDE, NARROW, DARK] {
        let Some(browser) = Browser::start(portal.office, look).await else {
            return;
        };
        browser.open("/").await;
        browser.sign_in_by_keyboard(STAFF_TOKEN).await;
        browser.open(&format!("/office?period={OPEN}&lang=en")).await;
        browser.press_button("Draw up the drafts of").await;
        browser.says("1 in review").await;
        for tag in ["zh-CN", "en"] {
            for (name, path) in PAGES {
                let joint = if path.contains('?') { '&' } else { '?' };
                browser.open(&format!("{path}{joint}lang={tag}")).await;
                fits_and_is_named(&browser, &format!("office {name} {tag} {}", look.name)).await;
                let picture = format!("office-{name}-{tag}-{}", look.name);
                take(&browser, pictures.as_deref(), &picture).await;
            }
        }
        browser.close().await;
    }
}
