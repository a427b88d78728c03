//! A bill on paper: PDF, made in process from the document and what the tax office knows of it. The same gives the same bytes.
//!
//! A *hand* is how a text is written: size and colour. A *sheet* is pages in the making.

mod font;
#[cfg(test)]
pub(crate) mod sample;
mod sheet;
#[cfg(test)]
mod tests;
mod words;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::bill::document::{Document, DocumentLine, State};
use crate::bill::state::TaxStanding;
use crate::bill::words::{
    cause_in_words, change_in_words, change_of_line, document_title, line_title, plan_in_words, plan_of_line,
    reason_in_words, tax_in_words, tax_paper,
};
use crate::locale::Locale;
use crate::rating::explain::service_sentence;
use crate::rating::period::zone_named;
use crate::rating::rate::ServiceOutcome;
use font::Face;
use sheet::{About, DARK, Hand, MARGIN, MUTED, Sheet, TIDE, WIDTH};
use words::{Words, credited, page_of, payment, words};

/// Why there is no PDF.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// The font in the binary is not readable.
    #[error("the font of PDFs is not readable")]
    Font,
    /// The size of a page is none.
    #[error("a page cannot be made")]
    Page,
    /// The file cannot be written.
    #[error("the PDF cannot be written: {0}")]
    Write(String),
}

const TITLE: Hand = Hand {
    size: 22.0,
    ink: TIDE,
};
const HEAD: Hand = Hand {
    size: 11.5,
    ink: TIDE,
};
const BODY: Hand = Hand {
    size: 10.0,
    ink: DARK,
};
const NOTE: Hand = Hand {
    size: 8.5,
    ink: MUTED,
};
const SUM: Hand = Hand {
    size: 13.0,
    ink: DARK,
};
const RIGHT: f32 = WIDTH - MARGIN;
const FULL: f32 = WIDTH - 2.0 * MARGIN;
/// Bad times that are listed on paper; the portal has all.
const LISTED: usize = 40;

/// The bill or note as PDF, in the words of `locale`.
pub fn invoice_pdf(
    document: &Document,
    tax: Option<&TaxStanding>,
    locale: Locale,
) -> Result<Vec<u8>, PdfError> {
    let page = Page {
        document,
        tax,
        locale,
        words: words(locale),
        zone: zone_named(&document.time_zone).unwrap_or(TimeZone::UTC),
    };
    let mut sheet = Sheet::new(Face::get().ok_or(PdfError::Font)?);
    page.head(&mut sheet);
    page.facts(&mut sheet);
    page.lines(&mut sheet);
    page.payment(&mut sheet);
    if let Some(service) = &document.service {
        page.service(&mut sheet, service);
    }
    page.chain(&mut sheet);
    let title = page.title();
    let about = About {
        title: format!("{title} · {}", document.legal_name),
        language: locale.tag(),
        made_at: document.issued_at,
        identity: document.digest.clone().unwrap_or_else(|| document.sealed().1),
    };
    sheet.finish(&about, &|number, count| {
        format!("{title}   ·   {}", page_of(locale, number, count))
    })
}

struct Page<'a> {
    document: &'a Document,
    tax: Option<&'a TaxStanding>,
    locale: Locale,
    words: &'static Words,
    zone: TimeZone,
}

impl Page<'_> {
    /// "Invoice SPT-2026-000001", "Credit note SPT-2026-000002", or "Draft 2026-11".
    fn title(&self) -> String {
        match (self.document.state, &self.document.number) {
            (State::Issued, Some(number)) => {
                format!("{} {number}", document_title(self.document, self.locale))
            }
            _ => format!("{} {}", self.words.draft, self.document.period),
        }
    }

    fn money(&self, amount: &str) -> String {
        format!(
            "{} {}",
            self.document.amount_for_people(amount),
            self.document.currency
        )
    }

    fn head(&self, sheet: &mut Sheet) {
        sheet.paragraph(&self.title(), TITLE, MARGIN, FULL);
        let issuer = self.document.issuer.for_people();
        sheet.paragraph(&format!("{}: {issuer}", self.words.issuer), NOTE, MARGIN, FULL);
        if self.document.state == State::Draft {
            sheet.skip(6.0);
            sheet.paragraph(self.words.draft_note, BODY, MARGIN, FULL);
        }
        sheet.skip(12.0);
        sheet.rule();
        sheet.skip(12.0);
    }

    /// Who pays on the left, when and by what on the right.
    fn facts(&self, sheet: &mut Sheet) {
        let (words, document) = (self.words, self.document);
        let date = |at: Timestamp| self.zone.to_datetime(at).date().to_string();
        let left = [
            (words.billed_to, document.legal_name.clone()),
            (words.tax_id, document.tax_id.clone()),
            (
                words.tenant,
                format!("{} ({})", document.display_name, document.tenant),
            ),
        ];
        let right = [
            (words.number, document.number.clone().unwrap_or_default()),
            (words.corrects, document.corrects.clone().unwrap_or_default()),
            (
                words.reason,
                reason_in_words(document, self.locale).unwrap_or_default(),
            ),
            (words.period, document.period.clone()),
            (words.issued, document.issued_at.map(date).unwrap_or_default()),
            (
                words.due,
                document.due_on.map(|due| due.to_string()).unwrap_or_default(),
            ),
            (words.times, document.time_zone.clone()),
            (
                tax_paper(self.locale),
                self.tax
                    .map(|tax| tax_in_words(tax, self.locale))
                    .unwrap_or_default(),
            ),
        ];
        let plans = document
            .plans
            .iter()
            .map(|plan| (words.plan, plan_in_words(document, plan)));
        let right: Vec<_> = right.into_iter().chain(plans).collect();
        let (top, half) = (sheet.y(), FULL / 2.0);
        column(sheet, &left, MARGIN, half - 20.0);
        let bottom = sheet.y();
        sheet.set_y(top);
        column(sheet, &right, MARGIN + half, half);
        sheet.set_y(sheet.y().max(bottom));
        sheet.skip(14.0);
    }

    fn lines(&self, sheet: &mut Sheet) {
        let amount = match self.document.corrects {
            Some(_) => self.words.difference,
            None => self.words.amount,
        };
        sheet.aligned_right(&format!("{amount} ({})", self.document.currency), NOTE, RIGHT);
        sheet.paragraph(self.words.item, NOTE, MARGIN, FULL - 120.0);
        sheet.skip(3.0);
        sheet.rule();
        for line in &self.document.lines {
            self.line(sheet, line);
        }
        sheet.skip(9.0);
        sheet.keep(40.0);
        sheet.aligned_right(&self.money(&self.document.total), SUM, RIGHT);
        sheet.paragraph(self.words.total, SUM, MARGIN, FULL - 200.0);
        sheet.skip(6.0);
    }

    /// How a line comes about; on a note, from what to what it goes, and how the new amount comes about.
    fn explanation(&self, entry: &DocumentLine) -> String {
        let explained = self.document.explain(entry, self.locale);
        let explained = explained.map(|words| words.sentence(self.locale));
        let Some(change) = change_of_line(self.document, entry) else {
            return explained.unwrap_or_else(|| entry.explanation.clone());
        };
        let change = change_in_words(&change, &self.document.currency, self.locale);
        match explained {
            Some(explained) => format!("{change} {explained}"),
            None => change,
        }
    }

    fn line(&self, sheet: &mut Sheet, entry: &DocumentLine) {
        let line = &entry.line;
        let explanation = self.explanation(entry);
        let tier = line
            .tier()
            .map(|tier| words::tier(self.locale, tier.tier))
            .unwrap_or_default();
        let title = format!("{}{tier}", line_title(line, self.locale));
        // A line is not torn from its words.
        sheet.skip(8.0);
        let plan = plan_of_line(self.document, line);
        let words = plan.iter().chain([&explanation]);
        let height: f32 = words.map(|text| sheet.height(text, NOTE, FULL - 110.0)).sum();
        sheet.keep(height + 24.0);
        sheet.aligned_right(&self.document.amount_for_people(&line.amount), BODY, RIGHT);
        sheet.paragraph(&title, BODY, MARGIN, FULL - 110.0);
        if let Some(plan) = plan {
            sheet.paragraph(&plan, NOTE, MARGIN, FULL - 110.0);
        }
        sheet.paragraph(&explanation, NOTE, MARGIN, FULL - 110.0);
        if line.informational {
            sheet.paragraph(self.words.informational, NOTE, MARGIN, FULL - 110.0);
        }
        sheet.skip(6.0);
        sheet.rule();
    }

    fn payment(&self, sheet: &mut Sheet) {
        let Document {
            state, due_on, total, ..
        } = self.document;
        let text = match (state, due_on) {
            (State::Issued, Some(due)) => payment(self.locale, &self.money(total), *due),
            (State::Issued, None) if self.document.is_in_favour() => {
                let amount = self.money(total.trim_start_matches('-'));
                credited(self.locale, &amount)
            }
            _ => return,
        };
        sheet.paragraph(&text, BODY, MARGIN, FULL);
    }

    fn service(&self, sheet: &mut Sheet, service: &ServiceOutcome) {
        sheet.skip(14.0);
        sheet.keep(50.0);
        sheet.paragraph(self.words.service, HEAD, MARGIN, FULL);
        sheet.skip(2.0);
        if let Some(sentence) = service_sentence(service, self.locale) {
            sheet.paragraph(&sentence, BODY, MARGIN, FULL);
        }
        let span = |from: Timestamp, to: Timestamp| {
            let local = |at| self.zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string();
            format!("{} – {}", local(from), local(to))
        };
        let bad = service.slices.iter().flat_map(|slices| &slices.bad);
        let bad: Vec<_> = bad
            .map(|bad| {
                let cause = cause_in_words(bad.cause, self.locale);
                let Words { bad_requests, .. } = self.words;
                format!(
                    "{}: {cause} ({} {bad_requests} {})",
                    span(bad.from, bad.to),
                    bad.bad_requests,
                    bad.requests
                )
            })
            .collect();
        self.list(sheet, self.words.bad_times, &bad);
        let excluded = service.exclusions.iter().map(|exclusion| {
            let (reason, approver) = (&exclusion.reason, &exclusion.approver);
            format!(
                "{}: {reason} ({} {approver})",
                span(exclusion.from, exclusion.to),
                self.words.approved_by
            )
        });
        self.list(sheet, self.words.excluded, &excluded.collect::<Vec<_>>());
    }

    #[expect(clippy::unused_self, reason = "one of the parts of a page")]
    fn list(&self, sheet: &mut Sheet, title: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        sheet.skip(5.0);
        sheet.keep(40.0);
        sheet.paragraph(title, BODY, MARGIN, FULL);
        for item in items.iter().take(LISTED) {
            sheet.paragraph(item, NOTE, MARGIN + 8.0, FULL - 8.0);
        }
        if items.len() > LISTED {
            sheet.paragraph(&format!("… +{}", items.len() - LISTED), NOTE, MARGIN + 8.0, FULL);
        }
    }

    fn chain(&self, sheet: &mut Sheet) {
        let Some(digest) = &self.document.digest else {
            return;
        };
        sheet.skip(12.0);
        sheet.keep(40.0);
        sheet.paragraph(&format!("{}: {digest}", self.words.digest), NOTE, MARGIN, FULL);
        if let Some(previous) = self
            .document
            .previous_digest
            .as_deref()
            .filter(|digest| !digest.is_empty())
        {
            sheet.paragraph(
                &format!("{}: {previous}", self.words.previous_digest),
                NOTE,
                MARGIN,
                FULL,
            );
        }
        sheet.paragraph(self.words.digest_note, NOTE, MARGIN, FULL);
    }
}

fn column(sheet: &mut Sheet, facts: &[(&str, String)], x: f32, width: f32) {
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        let top = sheet.y();
        sheet.paragraph(name, NOTE, x, 80.0);
        sheet.set_y(top);
        sheet.paragraph(value, BODY, x + 82.0, width - 82.0);
        sheet.skip(2.0);
    }
}
