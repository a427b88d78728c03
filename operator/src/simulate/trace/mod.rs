//! What is simulated: how many come, over time.
//!
//! - *step*: a span in which conversations come at one rate, from the time of a line until that of the next; the last is
//!   as long as the one before.
//! - *usual step*: the most frequent length; of several, the shortest.
//! - *gap*: a step that is longer than the usual one.

mod columns;
mod moment;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

use self::columns::{Record, records};
use self::moment::Moment;
use super::units::{Time, from_seconds, seconds};

/// A step is a gap when it is longer than the usual one by more than this share of it.
const GAP_TOLERANCE: f64 = 0.001;

/// Rates over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// In order; the first begins at 0, each where the one before ends.
    pub(super) steps: Vec<Step>,
    /// Where the last ends.
    pub(super) end: Time,
    /// The instant at which it begins, if its times are instants.
    pub(super) origin: Option<Timestamp>,
}

/// A span with one rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) start: Time,
    /// Conversations per second, before the factor.
    pub(super) value: f64,
}

/// How to read a trace.
#[derive(Clone, Debug)]
pub struct TraceFormat {
    /// Name of the column with the times.
    pub time_column: String,
    /// Name of the column with the values.
    pub value_column: String,
    /// Seconds that a time column of plain numbers counts in; 1 where it is seconds.
    pub step_seconds: Option<f64>,
    /// What a gap means.
    pub gaps: Gaps,
}

/// What a gap in a trace means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Gaps {
    /// The trace is refused
    #[default]
    Error,
    /// The value before the gap holds on through it
    Hold,
    /// Nobody comes from the end of the usual step until the next line
    Zero,
}

/// Why a trace cannot be used.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum TraceError {
    /// Nothing in it.
    #[error("the file is empty; its first line names the columns, as \"time,value\"")]
    Empty,
    /// Only a header.
    #[error("the file has a header and no lines below it")]
    NoLines,
    /// A line.
    #[error(transparent)]
    Line(#[from] LineError),
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("line {line}: {problem}")]
pub struct LineError {
    /// Counted from 1.
    pub line: usize,
    /// What it is.
    pub problem: Problem,
}

/// What can be wrong with a line.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Problem {
    /// The first line is data.
    #[error("the file has no header: its first line must name the columns, as \"time,value\"")]
    NoHeader,
    /// A column is not there.
    #[error("no column {wanted:?}; there are: {present}. Name it with --time-column and --value-column")]
    NoColumn {
        /// Its name.
        wanted: String,
        /// Those that are.
        present: String,
    },
    /// Too few fields.
    #[error("{count} columns, and column {needed} is needed")]
    ShortLine {
        /// How many there are.
        count: usize,
        /// Which is needed.
        needed: usize,
    },
    /// A quote is not closed.
    #[error("a double quote is not closed")]
    OpenQuote,
    /// No such time.
    #[error("{0:?} is neither an RFC 3339 time, nor a date and time, nor a number of seconds")]
    NotATime(String),
    /// Numbers and times.
    #[error("its time is of another kind than that of the first line")]
    MixedTimes,
    /// Steps that are not counted.
    #[error("--step-seconds is for a time column of plain numbers, and this is a date and time")]
    StepsOfTimes,
    /// Text.
    #[error("the value {0:?} is not a number")]
    NotANumber(String),
    /// NaN or infinite.
    #[error("{0:?} is not a finite number")]
    NotFinite(String),
    /// Less than nobody.
    #[error("the value {0} is negative")]
    Negative(f64),
    /// Time stands still.
    #[error("the time {0:?} is that of the line before")]
    Repeated(String),
    /// Time goes back.
    #[error("the time {0:?} is before that of the line before")]
    Backwards(String),
    /// A gap.
    #[error(
        "{length} seconds until the next line, and the usual step is {usual}; say with --gaps hold or --gaps zero what it means"
    )]
    Gap {
        /// Seconds until the next line.
        length: f64,
        /// Seconds of the usual step.
        usual: f64,
    },
    /// A single line.
    #[error("the only line has no length; give --step-seconds or another line")]
    NoLength,
}

/// One line, understood.
#[derive(Clone, Copy, Debug)]
struct Line {
    number: usize,
    at: Time,
    value: f64,
}

impl Trace {
    /// Reads comma-separated values whose first line names the columns.
    pub fn parse(text: &str, format: &TraceFormat) -> Result<Self, TraceError> {
        let records = records(text, &format.time_column, &format.value_column)?;
        let first = records.first().ok_or(TraceError::NoLines)?;
        let origin = parse_time(first, format)?;
        let mut lines: Vec<Line> = Vec::with_capacity(records.len());
        for record in &records {
            let line = parse_line(record, origin, format, lines.last())?;
            lines.push(line);
        }
        let steps = steps(&lines, format)?;
        Ok(Self {
            end: steps.1,
            steps: steps.0,
            origin: origin.instant(),
        })
    }
}

fn parse_time(record: &Record, format: &TraceFormat) -> Result<Moment, LineError> {
    let error = |problem| LineError {
        line: record.line,
        problem,
    };
    let moment = Moment::parse(&record.time).map_err(error)?;
    if format.step_seconds.is_some() && moment.instant().is_some() {
        return Err(error(Problem::StepsOfTimes));
    }
    Ok(moment)
}

fn parse_line(
    record: &Record,
    origin: Moment,
    format: &TraceFormat,
    before: Option<&Line>,
) -> Result<Line, LineError> {
    let error = |problem| LineError {
        line: record.line,
        problem,
    };
    let since = parse_time(record, format)?
        .seconds_since(origin, format.step_seconds.unwrap_or(1.0))
        .map_err(error)?;
    let at = from_seconds(since);
    if before.is_some_and(|before| since < 0.0 || at < before.at) {
        return Err(error(Problem::Backwards(record.time.clone())));
    }
    if before.is_some_and(|before| at == before.at) {
        return Err(error(Problem::Repeated(record.time.clone())));
    }
    let value = parse_value(&record.value).map_err(error)?;
    Ok(Line {
        number: record.line,
        at,
        value,
    })
}

fn parse_value(text: &str) -> Result<f64, Problem> {
    match text.parse::<f64>() {
        Ok(value) if !value.is_finite() => Err(Problem::NotFinite(text.to_owned())),
        Ok(value) if value < 0.0 => Err(Problem::Negative(value)),
        Ok(value) => Ok(value),
        Err(_) => Err(Problem::NotANumber(text.to_owned())),
    }
}

fn steps(lines: &[Line], format: &TraceFormat) -> Result<(Vec<Step>, Time), LineError> {
    let lengths: Vec<Time> = lines
        .iter()
        .zip(lines.iter().skip(1))
        .map(|(line, next)| next.at - line.at)
        .collect();
    let usual = usual(&lengths).or_else(|| format.step_seconds.map(from_seconds));
    let is_gap =
        |length: Time| usual.is_some_and(|usual| seconds(length) > seconds(usual) * (1.0 + GAP_TOLERANCE));
    let mut steps = Vec::with_capacity(lines.len());
    let mut end = 0;
    for (index, line) in lines.iter().enumerate() {
        steps.push(Step {
            start: line.at,
            value: line.value,
        });
        let error = |problem| LineError {
            line: line.number,
            problem,
        };
        let own = lengths.get(index).or(lengths.last()).copied().or(usual);
        let own = own.ok_or_else(|| error(Problem::NoLength))?;
        let usual = usual.unwrap_or(own);
        let is_last = index == lengths.len();
        end = line.at + if is_last && is_gap(own) { usual } else { own };
        if is_last || !is_gap(own) {
            continue;
        }
        match format.gaps {
            Gaps::Error => {
                let (length, usual) = (seconds(own), seconds(usual));
                return Err(error(Problem::Gap { length, usual }));
            }
            Gaps::Hold => {}
            Gaps::Zero => steps.push(Step {
                start: line.at + usual,
                value: 0.0,
            }),
        }
    }
    Ok((steps, end))
}

fn usual(lengths: &[Time]) -> Option<Time> {
    let mut counts: BTreeMap<Time, usize> = BTreeMap::new();
    for length in lengths {
        *counts.entry(*length).or_default() += 1;
    }
    let most = counts.values().max()?;
    counts
        .iter()
        .find(|(_, count)| *count == most)
        .map(|(length, _)| *length)
}
