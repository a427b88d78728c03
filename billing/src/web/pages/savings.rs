//! What the bots' answers cost, against what people would have cost.

use maud::{Markup, html};

use super::super::texts::texts;
use super::{View, layout};
use crate::rating::currency::Currency;
use crate::rating::number::{Exact, Overflow};
use crate::rating::period::Period;
use crate::store::StoreError;
use crate::web::Failure;

/// One month.
pub(in crate::web) struct SavingsMonth {
    period: Period,
    is_over: bool,
    answers: Exact,
    bots: Exact,
    /// Of one answer by bots.
    each: Option<Exact>,
    /// What people would have cost, and what was saved.
    people: Option<(Exact, Exact)>,
}

impl SavingsMonth {
    pub(in crate::web) fn of(
        (period, is_over): (Period, bool),
        answers: Exact,
        bots: Exact,
        price: Option<Exact>,
        currency: Currency,
    ) -> Result<Self, Failure> {
        let compared = |price: Exact| {
            let exact = answers.times(price)?;
            let people = currency.amount(exact.rounded(currency.exponent())?);
            Ok::<_, Overflow>((people, people.minus(bots)?))
        };
        let digits = currency.exponent() + 2;
        let each = (!answers.is_zero() && !answers.is_negative()).then(|| {
            bots.quotient_rounded(answers, digits)
                .map(|each| Exact::new(each, digits))
        });
        Ok(Self {
            period,
            is_over,
            answers,
            bots,
            each: each.transpose().map_err(StoreError::from)?,
            people: price.map(compared).transpose().map_err(StoreError::from)?,
        })
    }
}

/// What the page shows.
#[derive(Default)]
pub(in crate::web) struct SavingsPage {
    pub(in crate::web) currency: Option<Currency>,
    /// Of one answer by a person, and whether the firm said so itself.
    pub(in crate::web) price: Option<(Exact, bool)>,
    /// The newest first.
    pub(in crate::web) months: Vec<SavingsMonth>,
    pub(in crate::web) may_change: bool,
}

pub(in crate::web) fn savings_page(view: &View, page: &SavingsPage, is_wrong: bool) -> Markup {
    let texts = texts(view.locale);
    let content = html! {
        div.page-head { h1 { (texts.tab_savings) } }
        @match page.currency {
            None => { section.card { p.notice { (texts.no_plan) } } }
            Some(currency) => {
                section.card {
                    p.lead { (texts.savings_lead) }
                    @if let Some(month) = shown(page) { (newest(view, month, currency)) }
                    (table(view, page, currency))
                    p.hint { (texts.savings_note) }
                }
                (assumption(view, page, currency, is_wrong))
            }
        }
    };
    layout(view, texts.tab_savings, &content)
}

/// The newest month that is over, or the one that runs while there is no other.
fn shown(page: &SavingsPage) -> Option<&SavingsMonth> {
    page.months
        .iter()
        .find(|month| month.is_over)
        .or(page.months.first())
}

fn money(amount: Exact, currency: Currency) -> String {
    let text = amount.grouped(currency.decimals());
    text.strip_prefix('-')
        .map_or_else(|| text.clone(), |digits| format!("−{digits}"))
}

fn newest(view: &View, month: &SavingsMonth, currency: Currency) -> Markup {
    let texts = texts(view.locale);
    html! {
        @if let Some((people, saved)) = month.people {
            h2 { (texts.saved) " " span.muted { (month.period) } }
            p.sum { (money(saved, currency)) " " small { (currency.code()) } }
            @let most = people.to_nanos().unwrap_or(0).max(month.bots.to_nanos().unwrap_or(0)).max(1);
            dl.bars {
                @for (name, amount, class) in [(texts.people_cost, people, "part-2"), (texts.bots_cost, month.bots, "part-1")] {
                    div {
                        dt { (name) } dd { (money(amount, currency)) }
                        @let width = (amount.to_nanos().unwrap_or(0).max(0) * 1000 / most).clamp(2, 1000);
                        svg.bar viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
                            rect class=(class) x="0" y="0" width=(width) height="10" {}
                        }
                    }
                }
            }
        }
    }
}

fn table(view: &View, page: &SavingsPage, currency: Currency) -> Markup {
    let texts = texts(view.locale);
    html! {
        div.scroll tabindex="0" role="region" aria-label=(texts.tab_savings) { table {
            thead { tr {
                th scope="col" { (texts.period) }
                th.number scope="col" { (texts.answers) }
                th.number scope="col" { (texts.bots_cost) }
                th.number scope="col" { (texts.cost_per_answer) }
                th.number scope="col" { (texts.people_cost) }
                th.number scope="col" { (texts.saved) }
            } }
            tbody { @for month in &page.months { tr {
                th scope="row" { (month.period) @if !month.is_over { span.under { (texts.so_far) } } }
                td.number { (month.answers.grouped(0)) }
                td.number { (money(month.bots, currency)) }
                td.number { @if let Some(each) = month.each { (money(each, currency)) } }
                td.number { @if let Some((people, _)) = month.people { (money(people, currency)) } }
                td.number { @if let Some((_, saved)) = month.people { (money(saved, currency)) } }
            } } }
        } }
    }
}

fn assumption(view: &View, page: &SavingsPage, currency: Currency, is_wrong: bool) -> Markup {
    let texts = texts(view.locale);
    html! {
        section.card {
            @match page.price {
                Some((price, is_own)) => p {
                    (texts.assumption) " " strong { (money(price, currency)) " " (currency.code()) } ". "
                    (if is_own { texts.assumption_own } else { texts.assumption_default })
                },
                None => p.notice { (texts.no_assumption) },
            }
            @if page.may_change {
                form.stacked.short method="post" action="/portal/savings/price" {
                    @if is_wrong { p.alert role="alert" #wrong { (texts.wrong_amount) } }
                    label for="price" { (texts.person_price) " (" (currency.code()) ")" }
                    input #price name="price" type="text" inputmode="decimal" maxlength="20" autocomplete="off"
                        value=[page.price.map(|(price, _)| price.padded(currency.decimals()))] aria-invalid=(is_wrong);
                    button type="submit" { (texts.save) }
                }
            }
        }
    }
}
