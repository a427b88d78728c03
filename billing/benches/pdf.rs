//! How long a bill takes to become a PDF: one line of JSON, in milliseconds. `cargo bench --package springtide-billing --bench pdf`
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::time::Instant;

use sample::{NUMBER, Portal};
use springtide_billing::bill::read;
use springtide_billing::locale::Locale;
use springtide_billing::pdf::invoice_pdf;

const RUNS: usize = 300;

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
async fn main() {
    let portal = Portal::start("2026-12-01T02:10:00Z").await;
    assert_ne!(portal.address, portal.office);
    let invoice = portal.store.invoice_numbered(1, NUMBER).await.unwrap().unwrap();
    let document = read(&invoice).unwrap();
    // The first reads the font.
    let started = Instant::now();
    let bytes = invoice_pdf(&document, None, Locale::ZhCn).unwrap().len();
    let first = started.elapsed();
    let mut times: Vec<_> = (0..RUNS)
        .map(|run| {
            let locale = if run % 2 == 0 { Locale::ZhCn } else { Locale::En };
            let started = Instant::now();
            invoice_pdf(&document, None, locale).unwrap();
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    let milliseconds = |position: usize| times[position].as_secs_f64() * 1000.0;
    let (middle, high) = (milliseconds(RUNS / 2), milliseconds(RUNS * 99 / 100));
    println!(
        "{}",
        serde_json::json!({"what": "pdf", "n": RUNS, "bytes": bytes, "first_ms": first.as_secs_f64() * 1000.0,
            "p50_ms": middle, "p99_ms": high})
    );
}
