//! PDFs, read back by poppler's `pdftotext`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::sample::document;
use super::*;
use crate::bill::document::DocumentIssuer;
use crate::rating::rate::PartOfMonth;

fn text_of(pdf: &[u8]) -> String {
    let mut child = Command::new("pdftotext")
        .args(["-layout", "-enc", "UTF-8", "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("pdftotext is needed: install poppler-utils");
    child.stdin.take().unwrap().write_all(pdf).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn all_that_a_bill_must_say_can_be_read_from_its_pdf_in_both_languages() {
    let mut document = document();
    document.issuer = DocumentIssuer {
        entity: "shanghai".into(),
        legal_name: "春潮（上海）科技有限公司".into(),
        tax_id: "91310115YYYYYYYYYY".into(),
        address: "上海市浦东新区".into(),
    };
    for locale in [Locale::ZhCn, Locale::En] {
        let text = text_of(&invoice_pdf(&document, locale).unwrap());
        for needed in [
            "春潮（上海）科技有限公司",
            "91310115YYYYYYYYYY",
            "上海市浦东新区",
            "安可商城有限公司",
            "91310000XXXXXXXXXX",
            "SPT-2026-000042",
            "2026-12-01",
            "Asia/Shanghai",
            "王经理",
            "机房维护",
        ] {
            assert!(text.contains(needed), "{needed} is missing from {text}");
        }
        let total = document.amount_for_people(&document.total);
        assert!(
            text.contains(&format!("{total} CNY")),
            "{total} is missing from {text}"
        );
        for DocumentLine { line, .. } in &document.lines {
            let amount = document.amount_for_people(&line.amount);
            assert!(
                text.contains(&amount),
                "{amount} of {} is missing from {text}",
                line.name
            );
        }
        let digest = document.digest.as_deref().unwrap();
        assert!(
            text.replace(['\n', ' '], "").contains(digest),
            "the digest is missing from {text}"
        );
        let (first, service) = match locale {
            Locale::ZhCn => ("第 1 页，共 ", "失败或超时的请求过多"),
            Locale::En => ("Page 1 of ", "too many requests failed"),
        };
        assert!(text.contains(first) && text.contains(service), "{text}");
    }
}

#[test]
fn the_same_bill_gives_the_same_bytes_and_holds_only_the_glyphs_it_shows() {
    let document = document();
    let once = invoice_pdf(&document, Locale::ZhCn).unwrap();
    assert_eq!(once, invoice_pdf(&document, Locale::ZhCn).unwrap());
    assert!(once.len() < 150_000, "{} bytes", once.len());
    if let Some(folder) = std::env::var_os("SPRINGTIDE_KEEP_PDF") {
        std::fs::write(std::path::Path::new(&folder).join("bill.pdf"), &once).unwrap();
        let english = invoice_pdf(&document, Locale::En).unwrap();
        std::fs::write(std::path::Path::new(&folder).join("bill-en.pdf"), english).unwrap();
    }
}

#[test]
fn a_draft_says_that_it_is_none_to_pay_and_a_long_bill_goes_on_over_pages() {
    let mut document = document();
    document.state = State::Draft;
    document.number = None;
    document.digest = None;
    document.lines = document.lines.iter().cycle().take(60).cloned().collect();
    let text = text_of(&invoice_pdf(&document, Locale::En).unwrap());
    assert!(text.contains("It is no invoice"), "{text}");
    assert!(!text.contains("Please pay") && !text.contains("Digest"), "{text}");
    let pages = text.matches('\u{c}').count();
    assert!(
        pages > 2 && text.contains(&format!("Page {pages} of {pages}")),
        "{pages} pages: {text}"
    );
}

#[test]
fn a_bill_over_a_change_of_plan_says_which_plan_priced_what_and_when_in_both_languages() {
    let mut document = document();
    let middle = "2026-10-15T16:00:00Z".parse().unwrap();
    let mut second = document.plans[0].clone();
    (second.name, second.from) = ("premium-2026".into(), middle);
    document.plans[0].to = middle;
    let (start, end) = (document.period_start, document.period_end);
    for (line, (start, end)) in document.lines.iter_mut().zip([(start, middle), (middle, end)]) {
        let seconds = end.as_second() - start.as_second();
        let of_seconds = 31 * 86_400;
        line.line.part = Some(PartOfMonth {
            start,
            end,
            seconds,
            of_seconds,
        });
    }
    document.plans.push(second);
    for (locale, label) in [(Locale::En, "Rate plan"), (Locale::ZhCn, "资费方案")] {
        let text = text_of(&invoice_pdf(&document, locale).unwrap());
        assert!(text.contains(label), "{text}");
        for part in [
            "standard-2026 (3), 2026-10-01 – 2026-10-15",
            "premium-2026 (3), 2026-10-16 – 2026-10-31",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
