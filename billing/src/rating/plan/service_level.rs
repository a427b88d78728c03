//! Service-level objectives of a plan, and what is credited when they are missed.

use std::time::Duration;

use serde_json::Value;

use super::super::fields::Fields;
use super::super::number::Exact;
use super::PlanError;

const MAX_CREDITS: usize = 16;
const MAX_SLICE: Duration = Duration::from_hours(24);
const DEFAULT_SLICE: Duration = Duration::from_mins(5);
const DEFAULT_MINIMUM_REQUESTS: u64 = 10;
const MAX_MINIMUM_REQUESTS: u64 = 1_000_000_000;

/// The objectives of a plan; several do not add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceLevel {
    /// Slices of time that were good.
    pub availability: Option<Availability>,
    /// Answers that came in time.
    pub response_time: Option<ResponseTime>,
}

/// How many slices of the period must have been good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    /// Percent that is promised.
    pub objective: Exact,
    /// Whole minutes.
    pub slice: Duration,
    /// Above this share of bad requests a slice is bad.
    pub bad_share: Exact,
    /// With fewer requests a slice has no data.
    pub minimum_requests: u64,
    /// What a reported slice without data is.
    pub no_data: NoData,
    /// What is credited.
    pub credits: Credits,
}

/// How many answers must have come in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseTime {
    /// What in time means.
    pub within: Duration,
    /// What is credited.
    pub credits: Credits,
}

/// What a slice is that was reported but had too few requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoData {
    /// Good.
    Up,
    /// Bad.
    Down,
    /// Not counted.
    Exclude,
}

/// Rows of a credit table, lowest bound first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credits {
    /// Each bound once.
    pub rows: Vec<CreditRow>,
    /// Highest percentage of the fees that is credited.
    pub cap_percent: Exact,
}

/// Below which percentage how much is credited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditRow {
    /// Strictly.
    pub below: Exact,
    /// Of the fees.
    pub percent: Exact,
}

pub(super) fn service_level_of(value: &Value) -> Result<ServiceLevel, PlanError> {
    let mut fields = Fields::of(value, "sla")?;
    let availability = fields.optional("availability");
    let response_time = fields.optional("responseTime");
    fields.finish()?;
    Ok(ServiceLevel {
        availability: availability.map(availability_of).transpose()?,
        response_time: response_time.map(response_time_of).transpose()?,
    })
}

fn availability_of(value: &Value) -> Result<Availability, PlanError> {
    let mut fields = Fields::of(value, "sla.availability")?;
    let missing = || PlanError::wrong("sla.availability.objective", "is missing");
    let objective = fields.percent("objective")?.ok_or_else(missing)?;
    let slice = duration_of(&mut fields, "slice")?.unwrap_or(DEFAULT_SLICE);
    if slice.is_zero() || slice > MAX_SLICE || slice.as_secs() % 60 != 0 || slice.subsec_nanos() != 0 {
        return Err(PlanError::wrong(
            fields.place("slice"),
            "must be whole minutes, from 1m to 24h",
        ));
    }
    let bad_share = fields.decimal("badShare")?.unwrap_or_else(|| Exact::new(5, 2));
    if bad_share
        .compare(Exact::new(1, 0))
        .map_or(true, std::cmp::Ordering::is_gt)
    {
        return Err(PlanError::wrong(
            fields.place("badShare"),
            "must be a share from \"0\" to \"1\"",
        ));
    }
    let minimum_requests = fields
        .whole("minimumRequests")?
        .unwrap_or(DEFAULT_MINIMUM_REQUESTS);
    if minimum_requests > MAX_MINIMUM_REQUESTS {
        return Err(PlanError::wrong(
            fields.place("minimumRequests"),
            format!("must be at most {MAX_MINIMUM_REQUESTS}"),
        ));
    }
    let no_data = match fields.optional("noData").map(Value::as_str) {
        None | Some(Some("Up")) => NoData::Up,
        Some(Some("Down")) => NoData::Down,
        Some(Some("Exclude")) => NoData::Exclude,
        Some(_) => {
            return Err(PlanError::wrong(
                fields.place("noData"),
                "must be Up, Down or Exclude",
            ));
        }
    };
    let credits = credits_of(&mut fields)?;
    fields.finish()?;
    Ok(Availability {
        objective,
        slice,
        bad_share,
        minimum_requests,
        no_data,
        credits,
    })
}

fn response_time_of(value: &Value) -> Result<ResponseTime, PlanError> {
    let mut fields = Fields::of(value, "sla.responseTime")?;
    let missing = || PlanError::wrong("sla.responseTime.within", "is missing");
    let within = duration_of(&mut fields, "within")?.ok_or_else(missing)?;
    if within.is_zero() {
        return Err(PlanError::wrong(fields.place("within"), "must be above 0"));
    }
    let credits = credits_of(&mut fields)?;
    fields.finish()?;
    Ok(ResponseTime { within, credits })
}

fn credits_of(fields: &mut Fields<'_>) -> Result<Credits, PlanError> {
    let place = fields.place("credits");
    let mut rows: Vec<CreditRow> = Vec::new();
    for (position, row) in fields.list("credits", MAX_CREDITS)?.iter().enumerate() {
        let place = format!("{place}[{position}]");
        let mut row = Fields::of(row, place.clone())?;
        let below = row.percent("below")?;
        let percent = row.percent("percent")?;
        row.finish()?;
        let missing = |name: &str| PlanError::wrong(format!("{place}.{name}"), "is missing");
        let below = below.ok_or_else(|| missing("below"))?;
        let percent = percent.ok_or_else(|| missing("percent"))?;
        if rows.iter().any(|row| row.below == below) {
            return Err(PlanError::wrong(
                format!("{place}.below"),
                "is the bound of another row too",
            ));
        }
        rows.push(CreditRow { below, percent });
    }
    // Percentages fit any comparison.
    rows.sort_by(|one, other| {
        one.below
            .compare(other.below)
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let cap_percent = fields.percent("creditCap")?.unwrap_or_else(|| Exact::new(100, 0));
    Ok(Credits { rows, cap_percent })
}

/// A duration such as "5m" or "1h30m".
fn duration_of(fields: &mut Fields<'_>, name: &'static str) -> Result<Option<Duration>, PlanError> {
    let Some(value) = fields.optional(name) else {
        return Ok(None);
    };
    let wrong = || PlanError::wrong(fields.place(name), "must be a duration such as \"5m\" or \"1s\"");
    value.as_str().and_then(duration_from).map(Some).ok_or_else(wrong)
}

/// The Go form, in whole numbers of `h`, `m`, `s` and `ms`.
fn duration_from(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let number: u32 = number.parse().ok()?;
        let unit = tail
            .find(|c: char| c.is_ascii_digit())
            .map_or(tail, |end| &tail[..end]);
        let each = match unit {
            "h" => Duration::from_hours(1),
            "m" => Duration::from_mins(1),
            "s" => Duration::from_secs(1),
            "ms" => Duration::from_millis(1),
            _ => return None,
        };
        total = total.checked_add(each.checked_mul(number)?)?;
        rest = &tail[unit.len()..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_the_form_of_go() {
        for (text, seconds) in [("5m", 300), ("1h30m", 5_400), ("90s", 90), ("24h", 86_400)] {
            assert_eq!(duration_from(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "5", "m", "5x", "-5m", "1.5h", "5 m", "99999999999h"] {
            assert_eq!(duration_from(wrong), None, "{wrong}");
        }
    }
}
