//! A bar chart as inline SVG: no script, no inline style, heights in whole units. The words beside it are HTML, so that
//! they stay readable at any width; the same figures are a table below it.

use maud::{Markup, html};

use crate::rating::number::Exact;

const HEIGHT: i128 = 160;
const BAR_WIDTH: usize = 20;
const GAP: usize = 4;

/// One bar.
pub(super) struct Bar {
    /// What it stands for, in words: also its tooltip.
    pub(super) label: String,
    /// Its parts, lowest first, in the order of [`MeterClass`].
    pub(super) parts: Vec<Exact>,
    /// What is still expected on top of them.
    pub(super) expected: Exact,
    /// Where a click leads.
    pub(super) link: Option<String>,
}

/// Classes of a bar's parts in the style sheet, lowest part first.
pub(super) const PART_CLASSES: [&str; 2] = ["part-1", "part-2"];

const EXPECTED_CLASS: &str = "expected";

/// Billionths of a bar; nothing below zero is drawn.
fn drawn(part: &Exact) -> i128 {
    part.to_nanos().unwrap_or(0).max(0)
}

/// The chart; `title` says what it shows.
pub(super) fn chart(title: &str, bars: &[Bar]) -> Markup {
    let most = bars
        .iter()
        .map(|bar| bar.parts.iter().chain([&bar.expected]).map(drawn).sum::<i128>())
        .max()
        .unwrap_or(0)
        .max(1);
    let width = bars.len() * (BAR_WIDTH + GAP);
    html! {
        svg.chart role="img" aria-label=(title) viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" {
            @for quarter in 1..4 {
                line.grid x1="0" x2=(width) y1=(HEIGHT * quarter / 4) y2=(HEIGHT * quarter / 4) {}
            }
            @for (position, bar) in bars.iter().enumerate() {
                @if let Some(link) = &bar.link {
                    a href=(link) aria-label=(bar.label) { (one(bar, position, most)) }
                } @else {
                    (one(bar, position, most))
                }
            }
        }
    }
}

fn one(bar: &Bar, position: usize, most: i128) -> Markup {
    let left = position * (BAR_WIDTH + GAP) + GAP / 2;
    let mut top = HEIGHT;
    let mut rectangles = Vec::new();
    let classed = bar
        .parts
        .iter()
        .zip(PART_CLASSES)
        .chain([(&bar.expected, EXPECTED_CLASS)]);
    for (part, class) in classed {
        let nanos = drawn(part);
        // At least one unit, so that a little is not shown as nothing.
        let height = if nanos == 0 {
            0
        } else {
            (nanos * HEIGHT / most).clamp(1, top)
        };
        top -= height;
        rectangles.push((class, top, height));
    }
    html! {
        g.bar {
            title { (bar.label) }
            rect.reach x=(left) y="0" width=(BAR_WIDTH) height=(HEIGHT) {}
            @for (class, y, height) in rectangles.iter().filter(|(_, _, height)| *height > 0) {
                rect class=(class) x=(left) y=(y) width=(BAR_WIDTH) height=(height) {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(parts: [i128; 2]) -> Bar {
        Bar {
            label: "a < b".into(),
            parts: parts.into_iter().map(|part| Exact::new(part, 0)).collect(),
            expected: Exact::ZERO,
            link: None,
        }
    }

    #[test]
    fn the_tallest_bar_fills_the_chart_and_a_little_is_not_nothing() {
        let svg = chart(
            "usage",
            &[bar([100_000, 60_000]), bar([1, 0]), bar([0, 0]), bar([-5, 0])],
        )
        .into_string();
        assert!(svg.contains(r#"y="60" width="20" height="100""#), "{svg}");
        assert!(svg.contains(r#"y="0" width="20" height="60""#), "{svg}");
        assert!(svg.contains(r#"y="159" width="20" height="1""#), "{svg}");
        assert_eq!(svg.matches("part-1").count(), 2, "zero and less draw nothing");
        assert!(svg.contains("a &lt; b"), "labels are escaped");
        let half = Bar {
            expected: Exact::new(50_000, 0),
            ..bar([50_000, 0])
        };
        let svg = chart("usage", &[half]).into_string();
        assert!(
            svg.contains(r#"class="expected" x="2" y="0" width="20" height="80""#),
            "{svg}"
        );
    }
}
