//! What customers thought of a month's service: a card of the service page.

use maud::{Markup, html};
use springtide_proto::rated::Score;

use super::super::texts::texts;
use super::View;
use crate::rating::number::{Exact, Overflow};
use crate::rating::period::Period;
use crate::satisfaction::sums::{Ratings, Satisfaction};

/// One row of figures: ratings, mean, CSAT.
struct Figures {
    count: Exact,
    mean: String,
    csat: String,
}

impl Figures {
    /// `None` without ratings, and of what cannot be added up.
    fn of(ratings: &Ratings) -> Option<Self> {
        let shown = || -> Result<Option<Self>, Overflow> {
            let (count, mean, csat) = (ratings.count()?, ratings.mean()?, ratings.csat()?);
            Ok(mean.zip(csat).map(|(mean, csat)| Self {
                count,
                mean: mean.padded(2),
                csat: csat.padded(1),
            }))
        };
        shown().ok().flatten()
    }
}

pub(super) fn satisfaction_card(view: &View, period: Period, satisfaction: &Satisfaction) -> Markup {
    let texts = texts(view.locale);
    html! {
        section.card aria-labelledby="satisfaction" {
            h2 #satisfaction { (texts.satisfaction) }
            @match Figures::of(&satisfaction.all) {
                None => { p.notice { (texts.no_ratings) } }
                Some(all) => {
                    p.sum { (all.csat) " " small { "%" } }
                    p.hint { (texts.csat_note) }
                    ul.meters {
                        li { span.name { (texts.ratings) } strong { (all.count.grouped(0)) } }
                        li { span.name { (texts.mean_score) } strong { (all.mean) } }
                    }
                    (distribution(view, &satisfaction.all))
                    @if satisfaction.pools.len() > 1 { (by_pool(view, satisfaction)) }
                }
            }
            p.hint { (texts.satisfaction_note) " " a href={ "/portal/complaints?period=" (period) } { (texts.see_complaints) } }
        }
    }
}

fn distribution(view: &View, ratings: &Ratings) -> Markup {
    let texts = texts(view.locale);
    let share = |score| {
        let percent = ratings.percent(ratings.of(score)).ok().flatten();
        percent.map_or_else(String::new, |percent| format!("{} %", percent.padded(1)))
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label=(texts.satisfaction) { table {
            thead { tr {
                th scope="col" { (texts.score) }
                th.number scope="col" { (texts.ratings) } th.number scope="col" { (texts.share) }
            } }
            tbody { @for score in Score::ALL.into_iter().rev() { tr {
                th scope="row" { (score) }
                td.number { (ratings.of(score).grouped(0)) }
                td.number { (share(score)) }
            } } }
        } }
    }
}

fn by_pool(view: &View, satisfaction: &Satisfaction) -> Markup {
    let texts = texts(view.locale);
    let pools = satisfaction.pools.iter();
    let rated: Vec<_> = pools
        .filter_map(|(pool, ratings)| Figures::of(ratings).map(|figures| (pool, figures)))
        .collect();
    html! {
        div.scroll tabindex="0" role="region" aria-label=(texts.pool) { table {
            thead { tr {
                th scope="col" { (texts.pool) } th.number scope="col" { (texts.ratings) }
                th.number scope="col" { (texts.mean_score) } th.number scope="col" { "CSAT" }
            } }
            tbody { @for (pool, figures) in rated { tr {
                th scope="row" { (pool) }
                td.number { (figures.count.grouped(0)) }
                td.number { (figures.mean) }
                td.number { (figures.csat) " %" }
            } } }
        } }
    }
}
