//! A month over all tenants.

use maud::{Markup, html};

use super::super::super::pages::{View, layout, months};
use super::super::texts::{Texts, texts};
use super::moment;
use crate::bill::money::written;
use crate::bill::run::{RunSummary, Standing};
use crate::bill::words::state_in_words;
use crate::rating::period::Period;
use crate::store::{AuditEntry, BillRun, BilledInPeriod, Queue, RunKind, TenantDrift};

/// Refusals of a run that are shown.
const SHOWN: usize = 20;

/// What the page shows.
pub(in crate::web::office) struct MonthPage {
    pub(in crate::web::office) period: Period,
    pub(in crate::web::office) is_over: bool,
    pub(in crate::web::office) billed: BilledInPeriod,
    /// Of the drafts only how many there are.
    pub(in crate::web::office) queue: Queue,
    pub(in crate::web::office) runs: Vec<(BillRun, Standing)>,
    pub(in crate::web::office) drifts: Vec<TenantDrift>,
    /// How many wait for an answer, of whichever month.
    pub(in crate::web::office) disputes: usize,
    pub(in crate::web::office) may_act: bool,
    /// A run was not begun, as one is under way.
    pub(in crate::web::office) is_refused: bool,
}

pub(in crate::web::office) fn month_page(view: &View, page: &MonthPage) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        div.page-head {
            h1 { (texts.tab_month) }
            (months(view, "/office", page.period, !page.is_over))
        }
        @if page.is_refused { p.alert role="alert" { (texts.already) } }
        div.bare #live data-every="3000" {
            (figures(view, page))
            @if !page.drifts.is_empty() { (drifts(texts, page)) }
            (runs(texts, page))
        }
        @if page.may_act { (begin(texts, page)) }
        (find(texts))
    };
    layout(view, texts.tab_month, &content)
}

fn figures(view: &View, page: &MonthPage) -> Markup {
    let texts = texts(view.locale);
    let BilledInPeriod { states, totals } = &page.billed;
    html! {
        section.card aria-labelledby="billed" {
            h2 #billed { (texts.billed) }
            @if totals.is_empty() {
                p.notice { (texts.nothing_billed) }
            } @else {
                @for (currency, minor) in totals {
                    p.sum { (written(*minor, currency)) " " small { (currency) } }
                }
                dl.facts { @for (state, count) in states {
                    div { dt { (state_in_words(*state, view.locale)) } dd { (count) } }
                } }
            }
            dl.facts {
                div { dt { a href={ "/office/reviews?period=" (page.period) } { (texts.waiting) } } dd { (page.queue.waiting) } }
                div { dt { (texts.striking) } dd { (page.queue.striking) } }
                div { dt { a href="/office/disputes" { (texts.open_disputes) } } dd { (page.disputes) } }
                div { dt { (texts.drifting) } dd { (page.drifts.len()) } }
            }
            @if !page.is_over { p.hint { (texts.not_closed) } }
        }
    }
}

fn drifts(texts: &Texts, page: &MonthPage) -> Markup {
    html! {
        section.card aria-labelledby="drift" {
            h2 #drift { (texts.drifting) }
            p.hint { (texts.drift_note) }
            dl.why { @for drift in &page.drifts {
                dt { (drift.tenant) } dd { (drift.findings) " " span.muted { (moment(drift.found_at)) } }
            } }
        }
    }
}

fn kind_in_words(texts: &Texts, kind: RunKind) -> &'static str {
    match kind {
        RunKind::Review => texts.run_review,
        RunKind::Issue => texts.run_issue,
        RunKind::Approve => texts.run_approve,
        RunKind::Correct => texts.run_correct,
    }
}

fn runs(texts: &Texts, page: &MonthPage) -> Markup {
    html! {
        section.card aria-labelledby="runs" {
            h2 #runs { (texts.runs) }
            p.hint { (texts.utc) }
            @if page.runs.is_empty() {
                p.notice { (texts.no_runs) }
            } @else {
                div.scroll tabindex="0" role="region" aria-label=(texts.runs) { table {
                    thead { tr {
                        th scope="col" { (texts.run_kind) }
                        th scope="col" { (texts.run_by) }
                        th scope="col" { (texts.run_began) }
                        th scope="col" { (texts.run_state) }
                        th scope="col" { (texts.run_came) }
                    } }
                    tbody { @for (run, standing) in &page.runs { tr {
                        th scope="row" { (kind_in_words(texts, run.kind)) }
                        td { (run.actor) }
                        td { (moment(run.started_at)) }
                        td { (state(texts, run, standing)) }
                        td { @if let Standing::Ended(summary) = standing { (came(texts, summary)) } }
                    } } }
                } }
            }
        }
    }
}

fn state(texts: &Texts, run: &BillRun, standing: &Standing) -> Markup {
    html! {
        @match standing {
            Standing::UnderWay => {
                (texts.under_way)
                @if run.due > 0 {
                    " " (run.done) " / " (run.due)
                    progress max=(run.due) value=(run.done) aria-label=(texts.under_way) {}
                }
            }
            Standing::CutOff => { (texts.cut_off) }
            Standing::Ended(summary) if summary.failure.is_some() => { strong { (texts.failed) } }
            Standing::Ended(_) => {
                (texts.ended)
                @if let Some(ended) = run.ended_at { " " (moment(ended)) }
            }
        }
    }
}

fn came(texts: &Texts, summary: &RunSummary) -> Markup {
    let counts = [
        (summary.issued, texts.issued),
        (summary.issued_before, texts.issued_before),
        (summary.in_review, texts.in_review),
        (summary.refusals, texts.refused),
    ];
    html! {
        @for (count, word) in counts.into_iter().filter(|(count, _)| *count > 0) { div { (count) " " (word) } }
        @if let Some(failure) = &summary.failure { p.alert { (failure) } }
        @if !summary.refused.is_empty() {
            details {
                summary { (texts.why) }
                dl.why {
                    @for refusal in summary.refused.iter().take(SHOWN) { dt { (refusal.tenant) } dd { (refusal.reason) } }
                }
                @if summary.refused.len() > SHOWN { p.hint { (texts.and_more) " " (summary.refusals) } }
            }
        }
    }
}

fn begin(texts: &Texts, page: &MonthPage) -> Markup {
    let form = |kind: RunKind, words: &str, hint: &str| {
        html! {
            form.stacked.short method="post" action="/office/runs" {
                input type="hidden" name="kind" value=(kind.name());
                input type="hidden" name="period" value=(page.period);
                button type="submit" { (words) " " (page.period) }
                p.hint { (hint) }
            }
        }
    };
    html! {
        section.card {
            (form(RunKind::Review, texts.begin_review, texts.begin_review_hint))
            @if !page.billed.totals.is_empty() { (form(RunKind::Correct, texts.begin_correct, texts.begin_correct_hint)) }
        }
    }
}

fn find(texts: &Texts) -> Markup {
    html! {
        section.card {
            form.stacked.short method="get" action="/office/bills" {
                label for="number" { (texts.find) }
                input #number name="number" type="text" required maxlength="40" placeholder="SPT-2026-000001" autocomplete="off" spellcheck="false";
                button.quiet type="submit" { (texts.find) }
            }
        }
    }
}

pub(in crate::web::office) fn audit_page(view: &View, entries: &[AuditEntry]) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        div.page-head { h1 { (texts.tab_audit) } }
        section.card {
            p.lead { (texts.audit_lead) }
            p.hint { (texts.utc) }
            div.scroll tabindex="0" role="region" aria-label=(texts.tab_audit) { table {
                thead { tr {
                    th scope="col" { (texts.time) }
                    th scope="col" { (texts.who) }
                    th scope="col" { (texts.action) }
                    th scope="col" { (texts.object) }
                } }
                tbody { @for entry in entries { tr {
                    th scope="row" { (moment(entry.at)) }
                    td { (entry.actor) }
                    td { (entry.action) }
                    td { (entry.object) }
                } } }
            } }
        }
    };
    layout(view, texts.tab_audit, &content)
}
