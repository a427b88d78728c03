//! The budget of a month and its alerts.

use maud::{Markup, html};

use super::super::texts::texts;
use super::{View, layout};
use crate::bill::budget::{Budget, Reach};
use crate::rating::currency::Currency;
use crate::rating::number::Exact;
use crate::rating::period::Period;

/// What the page shows.
pub(in crate::web) struct BudgetPage {
    pub(in crate::web) period: Option<Period>,
    /// None while there is no plan.
    pub(in crate::web) currency: Option<Currency>,
    pub(in crate::web) budget: Option<Budget>,
    /// Of the bill so far.
    pub(in crate::web) total: Exact,
    pub(in crate::web) forecast: Option<Exact>,
    pub(in crate::web) may_change: bool,
    /// What is wrong with the form.
    pub(in crate::web) wrong: Option<&'static str>,
}

impl Default for BudgetPage {
    fn default() -> Self {
        Self {
            period: None,
            currency: None,
            budget: None,
            total: Exact::ZERO,
            forecast: None,
            may_change: false,
            wrong: None,
        }
    }
}

pub(in crate::web) fn budget_page(view: &View, page: &BudgetPage) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        div.page-head {
            h1 { (texts.tab_budget) }
            @if let Some(period) = page.period { span.muted { (period) } }
        }
        @match page.currency {
            None => { section.card { p.notice { (texts.no_plan) } } }
            Some(currency) => {
                section.card {
                    p.lead { (texts.budget_lead) }
                    @match &page.budget {
                        Some(budget) => (state(view, page, budget, currency)),
                        None => p.notice { (texts.budget_none) },
                    }
                }
                @if page.may_change { (form(view, page, currency)) }
            }
        }
    };
    layout(view, texts.tab_budget, &content)
}

fn state(view: &View, page: &BudgetPage, budget: &Budget, currency: Currency) -> Markup {
    let texts = texts(view.locale);
    let used = budget.percent(page.total);
    let expected = page.forecast.map(|forecast| budget.percent(forecast));
    let wide = |percent: u32| percent.min(100) * 10;
    html! {
        p.sum { (used) " " small { "% " (texts.budget_used) } }
        p { strong { (page.total.grouped(currency.decimals())) } " / " (budget.amount.grouped(currency.decimals())) " " (currency.code()) }
        svg.bar.track viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.expected x="0" y="0" width=(wide(expected.unwrap_or(0))) height="10" {}
            rect class=(if used >= 100 { "part-2" } else { "part-1" }) x="0" y="0" width=(wide(used)) height="10" {}
        }
        @if let (Some(expected), Some(forecast)) = (expected, page.forecast) {
            p.hint { (texts.budget_expected) ": " (expected) " % (" (forecast.grouped(currency.decimals())) " " (currency.code()) ")" }
        }
        h2.apart { (texts.budget_alerts) }
        ul.alerts {
            @for (threshold, reach) in budget.alerts(page.total, page.forecast) {
                @let (class, words) = match reach {
                    Reach::Reached => ("reached", texts.budget_reached),
                    Reach::Expected => ("expected", texts.budget_will_reach),
                    Reach::Clear => ("clear", texts.budget_clear),
                };
                li class=(class) { strong { (threshold) " %" } " " (words) }
            }
        }
    }
}

fn form(view: &View, page: &BudgetPage, currency: Currency) -> Markup {
    let texts = texts(view.locale);
    let thresholds = page.budget.as_ref().map_or_else(
        || "50, 80, 100".to_owned(),
        |budget| {
            budget
                .thresholds
                .iter()
                .map(u32::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        },
    );
    html! {
        section.card {
            form.stacked.short method="post" action="/portal/budget" {
                @if let Some(wrong) = page.wrong { p.alert role="alert" { (wrong) } }
                label for="amount" { (texts.budget_amount) " (" (currency.code()) ")" }
                input #amount name="amount" type="text" inputmode="decimal" maxlength="24" autocomplete="off" aria-describedby="amount-hint"
                    value=[page.budget.as_ref().map(|budget| budget.amount.padded(currency.decimals()))];
                p.hint #amount-hint { (texts.budget_hint) }
                label for="thresholds" { (texts.thresholds) }
                input #thresholds name="thresholds" type="text" maxlength="40" autocomplete="off" value=(thresholds);
                button type="submit" { (texts.save) }
            }
        }
    }
}
