//! PDFs, read back by poppler's `pdftotext`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::sample::{document, less_used};
use super::*;
use crate::bill::correction::{correction, credit};
use crate::bill::document::DocumentIssuer;
use crate::bill::state::TaxState;
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
        let text = text_of(&invoice_pdf(&document, None, locale).unwrap());
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
    let once = invoice_pdf(&document, None, Locale::ZhCn).unwrap();
    assert_eq!(once, invoice_pdf(&document, None, Locale::ZhCn).unwrap());
    assert!(once.len() < 150_000, "{} bytes", once.len());
    if let Some(folder) = std::env::var_os("SPRINGTIDE_KEEP_PDF") {
        std::fs::write(std::path::Path::new(&folder).join("bill.pdf"), &once).unwrap();
        let english = invoice_pdf(&document, None, Locale::En).unwrap();
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
    let text = text_of(&invoice_pdf(&document, None, Locale::En).unwrap());
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
        let text = text_of(&invoice_pdf(&document, None, locale).unwrap());
        assert!(text.contains(label), "{text}");
        for part in [
            "standard-2026 (3), 2026-10-01 – 2026-10-15",
            "premium-2026 (3), 2026-10-16 – 2026-10-31",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

fn tax(state: TaxState) -> TaxStanding {
    TaxStanding {
        state,
        tax_number: "25310001".into(),
        red_letter: "25310002".into(),
    }
}

/// The lines of text without the spaces that lay them out.
fn run_together(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn a_note_is_titled_as_one_and_says_of_which_bill_why_and_each_line_from_what_to_what() {
    let billed = document();
    let corrected = correction(less_used(), std::slice::from_ref(&billed))
        .unwrap()
        .unwrap();
    let credited = credit(std::slice::from_ref(&billed), "duplicated order 77", 2)
        .unwrap()
        .unwrap();
    for (note, english, chinese) in [
        (
            corrected,
            "What came or changed after the bill was issued.",
            "账单出具后到达或变更的内容。",
        ),
        (credited, "duplicated order 77", "duplicated order 77"),
    ] {
        let number = "SPT-2026-000043";
        let note = note.issued(number.into(), billed.issued_at.unwrap(), None, "cd".repeat(32));
        assert!(note.is_in_favour());
        for (locale, title, reason, billed_word) in [
            (Locale::En, "Credit note", english, "Billed"),
            (Locale::ZhCn, "贷项通知单", chinese, "原计"),
        ] {
            let text = text_of(&invoice_pdf(&note, None, locale).unwrap());
            let together = run_together(&text);
            assert!(text.contains(&format!("{title} {number}")), "{text}");
            assert!(text.contains("SPT-2026-000042"), "the bill's number: {text}");
            assert!(together.contains(&run_together(reason)), "{reason}: {text}");
            assert!(!text.contains("Please pay") && !text.contains("前支付"), "{text}");
            for entry in &note.lines {
                let change = change_of_line(&note, entry).unwrap();
                let said = run_together(&change_in_words(&change, "CNY", locale));
                assert!(
                    said.starts_with(billed_word) && together.contains(&said),
                    "{said}: {text}"
                );
            }
        }
    }
    let invoice = text_of(&invoice_pdf(&billed, None, Locale::En).unwrap());
    assert!(
        invoice.contains("Invoice SPT-2026-000042") && !invoice.contains("On invoice"),
        "{invoice}"
    );
}

#[test]
fn the_words_of_a_notes_line_come_to_what_it_is_now_and_not_to_the_difference() {
    let billed = document();
    let note = correction(less_used(), std::slice::from_ref(&billed))
        .unwrap()
        .unwrap();
    let entry = &note.lines[0];
    let words = note.explain(entry, Locale::En).unwrap();
    // 61,490 less 1,000 included are 60,490, of which 50,490 lie in the second tier.
    assert_eq!(entry.line.amount, "-0.80");
    assert_eq!(words.arithmetic, "50,490 × 0.08 = 4,039.20 CNY");
    let gone = credit(std::slice::from_ref(&billed), "", 2).unwrap().unwrap();
    assert!(
        gone.lines
            .iter()
            .all(|entry| gone.explain(entry, Locale::En).is_none())
    );
}

#[test]
fn a_bill_carries_the_tax_offices_numbers_in_both_languages() {
    let document = document();
    for (locale, state, expected) in [
        (Locale::En, TaxState::Registered, "25310001, registered"),
        (Locale::ZhCn, TaxState::Registered, "25310001，已开具"),
        (
            Locale::En,
            TaxState::Reversed,
            "25310001, reversed by red letter 25310002",
        ),
        (
            Locale::ZhCn,
            TaxState::Reversed,
            "25310001，已由红字发票 25310002 冲销",
        ),
    ] {
        let text = text_of(&invoice_pdf(&document, Some(&tax(state)), locale).unwrap());
        assert!(
            run_together(&text).contains(&run_together(expected)),
            "{expected}: {text}"
        );
        let without = text_of(&invoice_pdf(&document, None, locale).unwrap());
        assert!(!without.contains("25310001"), "{without}");
    }
}
