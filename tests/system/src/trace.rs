//! Arrival curves, compressed in time.
//!
//! A trace is CSV with a header: a time, then the arrivals in the step that begins there. The first day of it is compressed
//! into the seconds of a course and scaled to its number of conversations; within a step arrivals are uniform (which, given
//! their number, is what a Poisson process does).

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rand::RngExt as _;
use rand::rngs::StdRng;

/// Reads the values of the first day.
pub fn first_day(file: &Path) -> anyhow::Result<Vec<f64>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut lines = text.lines().enumerate();
    lines
        .next()
        .with_context(|| format!("{} is empty", file.display()))?;
    let mut day = None;
    let mut values = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = || {
            format!(
                "{}, line {}: {line:?} is not \"time,value\"",
                file.display(),
                number + 1
            )
        };
        let (time, value) = line.split_once(',').with_context(wrong)?;
        let value: f64 = value.trim().parse().with_context(wrong)?;
        ensure!(
            value.is_finite() && value >= 0.0,
            "{}, line {}: {value} is not a number of arrivals",
            file.display(),
            number + 1
        );
        // A day of rows in 24 hours of whatever zone the file is in: as many rows as share the first row's span.
        let date = time.trim().get(..10).with_context(wrong)?.to_owned();
        if values.len() >= 288 || (day.as_ref().is_some_and(|day| *day != date) && values.len() >= 100) {
            break;
        }
        day.get_or_insert(date);
        values.push(value);
    }
    if values.iter().sum::<f64>() <= 0.0 {
        bail!("{} has no arrivals on its first day", file.display());
    }
    Ok(values)
}

/// Instants, from the start, at which `conversations` begin within `span`, sorted.
pub fn arrivals(values: &[f64], conversations: usize, span: Duration, random: &mut StdRng) -> Vec<Duration> {
    let total: f64 = values.iter().sum();
    let step = span.as_secs_f64() / values.len() as f64;
    let mut cumulated = 0.0;
    let bounds: Vec<f64> = values
        .iter()
        .map(|value| {
            cumulated += value / total;
            cumulated
        })
        .collect();
    let mut instants: Vec<Duration> = (0..conversations)
        .map(|number| {
            // Stratified over the curve: every course has the same curve, whatever the seed.
            let quantile = (number as f64 + random.random::<f64>()) / conversations as f64;
            let place = bounds
                .partition_point(|bound| *bound < quantile)
                .min(values.len() - 1);
            Duration::from_secs_f64((place as f64 + random.random::<f64>()) * step)
        })
        .collect();
    instants.sort();
    instants
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    #[test]
    fn arrivals_follow_the_curve() {
        let mut random = StdRng::seed_from_u64(1);
        let instants = arrivals(&[1.0, 0.0, 3.0], 400, Duration::from_secs(30), &mut random);
        let within = |from: u64, to: u64| {
            instants
                .iter()
                .filter(|at| (from..to).contains(&at.as_secs()))
                .count()
        };
        assert_eq!((within(0, 10), within(10, 20), within(20, 30)), (100, 0, 300));
    }

    #[test]
    fn a_wrong_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trace.csv");
        std::fs::write(
            &file,
            "time,value\n2026-11-11T00:00:00,5\n2026-11-11T00:05:00,NaN\n",
        )
        .unwrap();
        assert!(first_day(&file).unwrap_err().to_string().contains("line 3"));
    }
}
