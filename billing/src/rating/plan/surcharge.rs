//! Surcharges: what a unit costs on top while a window is open. Windows are local wall-clock time in the plan's zone,
//! half-open, in quarters of an hour.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime, Weekday};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::fields::Fields;
use super::super::number::Exact;
use super::{MAX_NAME, PlanError};

const MAX_WINDOWS: usize = 64;
const MAX_DATES: usize = 1024;
const MAX_CALENDARS: usize = 32;
const MINUTES_OF_A_DAY: u16 = 24 * 60;
const STEP_MINUTES: u16 = 15;

/// A price on top of a charge's, for usage within any of its windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surcharge {
    /// For people; unique in the plan.
    pub name: String,
    /// Of which charge, as its position.
    pub charge: usize,
    /// Of one unit.
    pub unit_price: Exact,
    /// Usage counts once, however many of them it lies in.
    pub windows: Vec<Window>,
    /// The dates of the calendars that the windows name.
    pub calendars: Calendars,
}

/// Dates by the name of their calendar.
pub type Calendars = BTreeMap<String, BTreeSet<Date>>;

/// Times at which a surcharge applies: all that is named must hold, and something is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// Days of the week, as "Mon"; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// Local dates; empty: any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dates: BTreeSet<Date>,
    /// A calendar of the plan, whose dates are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// First minute of the day.
    pub from: MinuteOfDay,
    /// First minute that is no longer in it; later than `from`.
    pub to: MinuteOfDay,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Minutes since the day began: 0 to 1440, a multiple of 15. Written "20:00"; "24:00" is the end of the date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MinuteOfDay(u16);

impl Window {
    /// The local time lies in it.
    pub fn contains(&self, at: DateTime, calendars: &Calendars) -> bool {
        // A minute of a day always fits.
        let minute = u16::try_from(i16::from(at.hour()) * 60 + i16::from(at.minute())).unwrap_or_default();
        let date = at.date();
        (self.from.0..self.to.0).contains(&minute)
            && (self.days.is_empty() || self.days.iter().any(|day| day.weekday() == date.weekday()))
            && (self.dates.is_empty() || self.dates.contains(&date))
            && self
                .calendar
                .as_ref()
                .is_none_or(|name| calendars.get(name).is_some_and(|dates| dates.contains(&date)))
    }
}

impl Window {
    /// It names no time of day.
    pub fn is_all_day(&self) -> bool {
        self.from == MinuteOfDay::default() && self.to == MinuteOfDay::END
    }
}

impl Surcharge {
    /// The local time lies in any of its windows.
    pub fn applies(&self, at: DateTime) -> bool {
        self.windows
            .iter()
            .any(|window| window.contains(at, &self.calendars))
    }
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        }
    }
}

impl MinuteOfDay {
    /// The end of a date.
    pub const END: Self = Self(MINUTES_OF_A_DAY);

    fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let two = |part: &str| (part.len() == 2).then(|| part.parse::<u16>().ok()).flatten();
        let (hour, minute) = (two(hour)?, two(minute)?);
        let total = hour * 60 + minute;
        (minute < 60 && total <= MINUTES_OF_A_DAY && total % STEP_MINUTES == 0).then_some(Self(total))
    }
}

impl TryFrom<String> for MinuteOfDay {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is not a time of day such as \"20:00\""))
    }
}

impl From<MinuteOfDay> for String {
    fn from(minute: MinuteOfDay) -> Self {
        format!("{:02}:{:02}", minute.0 / 60, minute.0 % 60)
    }
}

pub(super) fn calendars_of(fields: &mut Fields<'_>) -> Result<Calendars, PlanError> {
    let place = fields.place("calendars");
    let calendars = match fields.optional("calendars") {
        None => return Ok(Calendars::new()),
        Some(Value::Object(calendars)) if calendars.len() <= MAX_CALENDARS => calendars,
        Some(_) => {
            return Err(PlanError::wrong(
                place,
                format!("must be an object of at most {MAX_CALENDARS} calendars, each a list of dates"),
            ));
        }
    };
    calendars
        .iter()
        .map(|(name, dates)| {
            let place = format!("{place}.{name}");
            let dates = dates
                .as_array()
                .ok_or_else(|| PlanError::wrong(&place, "must be a list of dates"))?;
            Ok((name.clone(), dates_of(dates, &place)?))
        })
        .collect()
}

pub(super) fn surcharge_of(
    surcharge: &Value,
    position: usize,
    charges: &[super::Charge],
    calendars: &Calendars,
) -> Result<Surcharge, PlanError> {
    let mut fields = Fields::of(surcharge, format!("surcharges[{position}]"))?;
    let name = fields.text("name", MAX_NAME)?.to_owned();
    let wanted = fields.text("charge", MAX_NAME)?;
    let unknown = || PlanError::UnknownCharge {
        field: fields.place("charge"),
        charge: wanted.to_owned(),
    };
    let charge = charges
        .iter()
        .position(|charge| charge.name == wanted)
        .ok_or_else(unknown)?;
    let unit_price = fields.required_decimal("unitPrice")?;
    let place = fields.place("windows");
    let windows = fields.list("windows", MAX_WINDOWS)?;
    fields.finish()?;
    if windows.is_empty() {
        return Err(PlanError::wrong(place, "must have at least one window"));
    }
    let windows: Vec<_> = windows
        .iter()
        .enumerate()
        .map(|(index, window)| window_of(window, format!("{place}[{index}]"), calendars))
        .collect::<Result<_, _>>()?;
    let named: BTreeSet<_> = windows
        .iter()
        .filter_map(|window| window.calendar.as_ref())
        .collect();
    let calendars = calendars
        .iter()
        .filter(|(name, _)| named.contains(name))
        .map(|(name, dates)| (name.clone(), dates.clone()))
        .collect();
    Ok(Surcharge {
        name,
        charge,
        unit_price,
        windows,
        calendars,
    })
}

fn window_of(window: &Value, place: String, calendars: &Calendars) -> Result<Window, PlanError> {
    let mut fields = Fields::of(window, place.clone())?;
    let days = days_of(fields.list("days", 7)?, &fields.place("days"))?;
    let dates = dates_of(fields.list("dates", MAX_DATES)?, &fields.place("dates"))?;
    let calendar = match fields.optional("calendar") {
        None => None,
        Some(_) => Some(fields.text("calendar", MAX_NAME)?.to_owned()),
    };
    if let Some(name) = calendar.as_ref().filter(|name| !calendars.contains_key(*name)) {
        return Err(PlanError::UnknownCalendar {
            field: fields.place("calendar"),
            calendar: name.clone(),
        });
    }
    let from = time_of(&mut fields, "from")?;
    let to = time_of(&mut fields, "to")?;
    fields.finish()?;
    let names_time = from.is_some() || to.is_some();
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or(MinuteOfDay::END));
    if from >= to {
        return Err(PlanError::wrong(
            format!("{place}.to"),
            "must be later than from; a window over midnight is two windows",
        ));
    }
    if days.is_empty() && dates.is_empty() && calendar.is_none() && !names_time {
        return Err(PlanError::wrong(
            place,
            "must name days, dates, a calendar, or from and to",
        ));
    }
    Ok(Window {
        days,
        dates,
        calendar,
        from,
        to,
    })
}

fn days_of(days: &[Value], place: &str) -> Result<Vec<Day>, PlanError> {
    let day = |value: &Value| {
        serde_json::from_value(value.clone())
            .map_err(|_| PlanError::wrong(place, "must be days such as \"Mon\" or \"Sun\""))
    };
    days.iter().map(day).collect()
}

fn dates_of(dates: &[Value], place: &str) -> Result<BTreeSet<Date>, PlanError> {
    if dates.len() > MAX_DATES {
        return Err(PlanError::wrong(
            place,
            format!("must be a list of at most {MAX_DATES}"),
        ));
    }
    let date = |value: &Value| {
        value
            .as_str()
            .filter(|text| text.len() == 10)
            .and_then(|text| text.parse::<Date>().ok())
            .ok_or_else(|| PlanError::wrong(place, "must be dates such as \"2026-11-11\""))
    };
    dates.iter().map(date).collect()
}

fn time_of(fields: &mut Fields<'_>, name: &'static str) -> Result<Option<MinuteOfDay>, PlanError> {
    let Some(value) = fields.optional(name) else {
        return Ok(None);
    };
    let wrong = || {
        PlanError::wrong(
            fields.place(name),
            "must be a time of day such as \"20:00\", in quarters of an hour, at most \"24:00\"",
        )
    };
    value
        .as_str()
        .and_then(MinuteOfDay::parse)
        .map(Some)
        .ok_or_else(wrong)
}
