//! A run as a picture that a person understands: what was needed, and what each policy had. SVG that fits light and dark.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use super::ticks::{Tick, time_ticks, value_ticks};
use super::units::to_u32;

const WIDTH: f64 = 1_100.0;
const HEIGHT: f64 = 460.0;
/// Of the area in which the curves are.
const LEFT: f64 = 60.0;
const RIGHT: f64 = 1_060.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 420.0;
/// At most so many points a curve.
const COLUMNS: u64 = 1_000;
/// Of a name in the legend, a letter.
const LETTER: f64 = 7.5;

/// Plain rules, and no variables, which some viewers lack.
const STYLE: &str = "\
svg{font:13px system-ui,sans-serif}.title{font-size:16px;font-weight:600}.end{text-anchor:end}.middle{text-anchor:middle}\
.line{stroke-width:1.5}.ground{fill:#fff}text{fill:#1f2937}.faint{fill:#6b7280}.grid{stroke:#e5e7eb}\
.load{fill:#cbd5e1}.springtide{fill:#0f766e;stroke:#0f766e}.hpa{fill:#dc2626;stroke:#dc2626}\
.keda{fill:#9333ea;stroke:#9333ea}.kpa{fill:#d97706;stroke:#d97706}.static{fill:#6b7280;stroke:#6b7280}\
.oracle{fill:#2563eb;stroke:#2563eb}polyline.line{fill:none}\
@media(prefers-color-scheme:dark){.ground{fill:#111827}text{fill:#f3f4f6}.faint{fill:#9ca3af}.grid{stroke:#374151}\
.load{fill:#475569}.springtide{fill:#2dd4bf;stroke:#2dd4bf}.hpa{fill:#f87171;stroke:#f87171}\
.keda{fill:#c084fc;stroke:#c084fc}.kpa{fill:#fbbf24;stroke:#fbbf24}.static{fill:#9ca3af;stroke:#9ca3af}\
.oracle{fill:#60a5fa;stroke:#60a5fa}polyline.line{fill:none}}";

/// Seconds of a column are one of these, where that is enough.
const SPANS: [u64; 16] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400,
];

/// What was needed, and what each policy had, second by second, thinned out to the highest of each column.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    seconds: u64,
    origin: Option<Timestamp>,
    capacity: u32,
    /// Conversations.
    load: Vec<u32>,
    /// Workers.
    lines: Vec<(&'static str, Vec<u32>)>,
}

impl Chart {
    pub(super) fn new(seconds: u64, origin: Option<Timestamp>, capacity: u32) -> Self {
        Self {
            seconds,
            origin,
            capacity,
            load: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// At this second so many conversations were there, with no waiting at all.
    pub(super) fn load(&mut self, second: u64, conversations: u32) {
        let column = self.column(second);
        raise(&mut self.load, column, conversations);
    }

    /// A policy's line begins.
    pub(super) fn begin(&mut self, policy: &'static str) {
        self.lines.push((policy, Vec::new()));
    }

    /// At this second the policy had so many workers.
    pub(super) fn workers(&mut self, second: u64, workers: u32) {
        let column = self.column(second);
        if let Some((_, line)) = self.lines.last_mut() {
            raise(line, column, workers);
        }
    }

    fn seconds_per_column(&self) -> u64 {
        let least = self.seconds.div_ceil(COLUMNS).max(1);
        SPANS.into_iter().find(|span| *span >= least).unwrap_or(least)
    }

    fn column(&self, second: u64) -> usize {
        usize::try_from(second / self.seconds_per_column()).unwrap_or(usize::MAX)
    }

    /// The picture.
    pub(super) fn svg(&self) -> String {
        let most = self.lines.iter().flat_map(|(_, line)| line).max().copied();
        let needed = self
            .load
            .iter()
            .max()
            .copied()
            .unwrap_or(0)
            .div_ceil(self.capacity);
        let most = f64::from(most.unwrap_or(0).max(needed).max(1));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
             <title>Workers over time</title>\n<style>{STYLE}</style>\n\
             <rect width=\"100%\" height=\"100%\" class=\"ground\"/>\n"
        );
        self.write_head(&mut svg);
        self.write_axes(&mut svg, most);
        self.write_load(&mut svg, most);
        // The first on top.
        for (name, line) in self.lines.iter().rev() {
            let points = self.points(line, most, f64::from);
            let _ = writeln!(svg, "<polyline class=\"line {name}\" points=\"{points}\"/>");
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn write_head(&self, svg: &mut String) {
        let span = SignedDuration::from_secs(i64::try_from(self.seconds_per_column()).unwrap_or(i64::MAX));
        let zone = if self.origin.is_some() { "; UTC" } else { "" };
        let _ = write!(
            svg,
            "<text class=\"title\" x=\"{LEFT}\" y=\"24\">Workers over time</text>\n\
             <text class=\"faint end\" x=\"{RIGHT}\" y=\"24\">each point is the highest of {span:#}{zone}</text>\n"
        );
        let load = format!("needed (conversations / {})", self.capacity);
        let names = self.lines.iter().map(|(name, _)| (*name, *name));
        let mut x = LEFT;
        for (class, text) in [("load", load.as_str())].into_iter().chain(names) {
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"40\" width=\"14\" height=\"10\" class=\"{class}\"/>\
                 <text x=\"{}\" y=\"50\">{text}</text>",
                x + 19.0
            );
            x += 19.0 + LETTER * f64::from(to_u32(text.len())) + 16.0;
        }
    }

    fn write_axes(&self, svg: &mut String, most: f64) {
        for Tick { at, label } in value_ticks(most) {
            let y = y(at, most);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"faint end\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                LEFT - 8.0,
                y + 4.0
            );
        }
        for Tick { at, label } in time_ticks(self.seconds, self.origin) {
            let x = LEFT + (RIGHT - LEFT) * at / self.seconds.max(1) as f64;
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\
                 <text class=\"faint middle\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>",
                BOTTOM + 20.0
            );
        }
    }

    fn write_load(&self, svg: &mut String, most: f64) {
        let capacity = f64::from(self.capacity);
        let points = self.points(&self.load, most, |conversations| {
            f64::from(conversations) / capacity
        });
        let last = self.x(self.load.len().saturating_sub(1));
        let _ = writeln!(
            svg,
            "<polygon class=\"load\" points=\"{LEFT},{BOTTOM} {points} {last:.1},{BOTTOM}\"/>"
        );
    }

    fn points(&self, line: &[u32], most: f64, value: impl Fn(u32) -> f64) -> String {
        let points = line.iter().enumerate().map(|(column, here)| {
            let (x, y) = (self.x(column), y(value(*here), most));
            format!("{x:.1},{y:.1}")
        });
        points.collect::<Vec<_>>().join(" ")
    }

    fn x(&self, column: usize) -> f64 {
        let begins = f64::from(to_u32(column)) * self.seconds_per_column() as f64;
        LEFT + (RIGHT - LEFT) * begins / self.seconds.max(1) as f64
    }
}

fn y(value: f64, most: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * value / most
}

fn raise(line: &mut Vec<u32>, column: usize, value: u32) {
    if line.len() <= column {
        line.resize(column + 1, 0);
    }
    line[column] = line[column].max(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_of_each_column_is_drawn_and_every_policy_is_named() {
        let mut chart = Chart::new(10_000, None, 20);
        chart.begin("springtide");
        for second in 0..10_000 {
            chart.load(second, if second == 5_003 { 200 } else { 100 });
            chart.workers(second, if second == 5_003 { 20 } else { 6 });
        }
        assert_eq!(chart.load.len(), 1_000);
        assert_eq!((chart.load[500], chart.load[501]), (200, 100));
        let svg = chart.svg();
        assert!(
            svg.contains("560.0,70.0"),
            "the peak of the line reaches the top\n{svg}"
        );
        assert!(svg.contains("560.0,245.0"), "and 200 of 20 each are half of it");
        assert!(svg.contains(">springtide</text>") && svg.contains("conversations / 20"));
        assert!(svg.contains("prefers-color-scheme:dark"));
        assert_eq!(svg.matches("</svg>").count(), 1);
    }
}
