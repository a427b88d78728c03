//! What is billed by, and what a change of it would come to.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::super::super::pages::{View, layout};
use super::super::texts::{Texts, texts};
use super::{changes, moment};
use crate::bill::correction::Difference;
use crate::bill::document::Document;
use crate::store::{Account, RecordedPlan};

/// All plans, each by the version that counts, with how many tenants it has and how many bills all its versions made.
pub(in crate::web::office) struct PlansPage {
    plans: Vec<(RecordedPlan, usize, u64)>,
}

impl PlansPage {
    /// Of all versions, of a name the one that counts first.
    pub(in crate::web::office) fn of(versions: Vec<RecordedPlan>, accounts: &[Account]) -> Self {
        let mut tenants: BTreeMap<&str, usize> = BTreeMap::new();
        for account in accounts.iter().filter(|account| account.closed_at.is_none()) {
            *tenants.entry(&account.details.rate_plan).or_default() += 1;
        }
        let mut plans: Vec<(RecordedPlan, usize, u64)> = Vec::new();
        for version in versions {
            match plans.last_mut() {
                Some((newest, _, bills)) if newest.name == version.name => *bills += version.bills,
                _ => {
                    let of_it = tenants.get(version.name.as_str()).copied().unwrap_or(0);
                    let bills = version.bills;
                    plans.push((version, of_it, bills));
                }
            }
        }
        Self { plans }
    }
}

/// What the page of a plan shows.
pub(in crate::web::office) struct PlanPage {
    pub(in crate::web::office) name: String,
    pub(in crate::web::office) versions: Vec<RecordedPlan>,
    pub(in crate::web::office) tenants: Vec<String>,
    pub(in crate::web::office) more_tenants: usize,
    pub(in crate::web::office) trial: Trial,
}

/// The form in which a change is tried, and what came of it.
pub(in crate::web::office) struct Trial {
    pub(in crate::web::office) tenant: String,
    pub(in crate::web::office) period: String,
    pub(in crate::web::office) text: String,
    /// Or what is wrong.
    pub(in crate::web::office) result: Option<Result<Tried, String>>,
}

/// A month by two plans.
pub(in crate::web::office) struct Tried {
    pub(in crate::web::office) as_is: Document,
    pub(in crate::web::office) by_this: Document,
    pub(in crate::web::office) differences: Vec<Difference>,
}

pub(in crate::web::office) fn plans_page(view: &View, page: &PlansPage) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        div.page-head { h1 { (texts.tab_plans) } }
        section.card {
            p.lead { (texts.plans_lead) }
            @if page.plans.is_empty() {
                p.notice { (texts.no_plans) }
            } @else {
                div.scroll tabindex="0" role="region" aria-label=(texts.tab_plans) { table {
                    thead { tr {
                        th scope="col" { (texts.plan) }
                        th.figures scope="col" { (texts.version) }
                        th scope="col" { (texts.since) }
                        th.figures scope="col" { (texts.tenants) }
                        th.figures scope="col" { (texts.bills_made) }
                    } }
                    tbody { @for (plan, tenants, bills) in &page.plans { tr {
                        th scope="row" { a href={ "/office/plans/" (plan.name) } { (plan.name) } }
                        td.figures { (plan.generation) }
                        td { (moment(plan.recorded_at)) }
                        td.figures { (tenants) }
                        td.figures { (bills) }
                    } } }
                } }
            }
        }
    };
    layout(view, texts.tab_plans, &content)
}

pub(in crate::web::office) fn plan_page(view: &View, page: &PlanPage) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        p.back { a href="/office/plans" { "← " (texts.tab_plans) } }
        div.page-head { h1 { (page.name) } }
        @match &page.trial.result {
            Some(Ok(tried)) => { (result(view, page, tried)) }
            Some(Err(wrong)) => { p.alert role="alert" { (wrong) } }
            None => {}
        }
        (trial(texts, page))
        section.card aria-labelledby="versions" {
            h2 #versions { (texts.versions) }
            (versions(texts, page))
            h2.minor { (texts.tenants) }
            p {
                @if page.tenants.is_empty() { (texts.none) } @else { (page.tenants.join(", ")) }
                @if page.more_tenants > 0 { " + " (page.more_tenants) }
            }
        }
    };
    layout(view, &page.name, &content)
}

fn versions(texts: &Texts, page: &PlanPage) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(texts.versions) { table {
            thead { tr {
                th.figures scope="col" { (texts.version) }
                th scope="col" { (texts.since) }
                th.figures scope="col" { (texts.bills_made) }
                th scope="col" { "SHA-256" }
            } }
            tbody { @for (position, version) in page.versions.iter().enumerate() { tr {
                th.figures scope="row" { (version.generation) @if position == 0 { " " span.muted { (texts.counts) } } }
                td { (moment(version.recorded_at)) }
                td.figures { (version.bills) }
                td { code { (version.digest.chars().take(16).collect::<String>()) "…" } }
            } } }
        } }
    }
}

fn trial(texts: &Texts, page: &PlanPage) -> Markup {
    let Trial {
        tenant, period, text, ..
    } = &page.trial;
    html! {
        section.card aria-labelledby="try" {
            h2 #try { (texts.try_it) }
            p.hint { (texts.try_hint) }
            form.stacked method="post" action={ "/office/plans/" (page.name) } {
                label for="tenant" { (texts.tenant) }
                input #tenant name="tenant" type="text" required maxlength="63" value=(tenant) autocomplete="off" spellcheck="false";
                label for="period" { (texts.month) }
                input #period name="period" type="text" required maxlength="7" value=(period) pattern="[0-9]{4}-[0-9]{2}";
                label for="plan" { (texts.try_text) }
                textarea.code #plan name="plan" rows="18" required spellcheck="false" { (text) }
                button type="submit" { (texts.try_button) }
            }
        }
    }
}

fn result(view: &View, page: &PlanPage, tried: &Tried) -> Markup {
    let texts = texts(view.locale);
    let total = |document: &Document| {
        let total = document.amount_for_people(&document.total);
        format!("{total} {}", document.currency)
    };
    html! {
        section.card role="status" aria-labelledby="tried" {
            h2 #tried { (page.trial.tenant) " · " (page.trial.period) }
            dl.facts {
                div { dt { (texts.as_is) } dd { (total(&tried.as_is)) } }
                div { dt { (texts.tried) } dd { strong { (total(&tried.by_this)) } } }
            }
            (changes(view, &tried.by_this, &tried.differences))
        }
    }
}
