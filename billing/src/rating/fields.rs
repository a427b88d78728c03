//! Reads JSON objects field by field, so that what is wrong is refused by its name and place. A `null` is as good as
//! absent. [`Fields::finish`] refuses every field that nobody took: a field exists only when it does something.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::number::Exact;
use super::plan::PlanError;

/// The fields of one object that nobody took yet.
pub(super) struct Fields<'a> {
    place: String,
    all: &'a Map<String, Value>,
    taken: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The fields of `value`, which lies at `place` ("" for the spec itself).
    pub(super) fn of(value: &'a Value, place: impl Into<String>) -> Result<Self, PlanError> {
        let place = place.into();
        match value {
            Value::Object(fields) => Ok(Self {
                place,
                all: fields,
                taken: Vec::new(),
            }),
            _ => Err(PlanError::wrong(
                if place.is_empty() { "spec" } else { &place },
                "must be an object",
            )),
        }
    }

    /// Where `name` lies, as "charges[0].tiers".
    pub(super) fn place(&self, name: &str) -> String {
        if self.place.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.place)
        }
    }

    /// Takes a field; `None` if it is absent.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<&'a Value> {
        self.taken.push(name);
        self.all.get(name).filter(|value| !value.is_null())
    }

    /// Takes a field that must be there.
    pub(super) fn required(&mut self, name: &'static str) -> Result<&'a Value, PlanError> {
        self.optional(name)
            .ok_or_else(|| PlanError::wrong(self.place(name), "is missing"))
    }

    /// Takes a text that must be there, of 1 to `longest` characters.
    pub(super) fn text(&mut self, name: &'static str, longest: usize) -> Result<&'a str, PlanError> {
        let text = self.required(name)?.as_str();
        let within = |text: &&str| {
            (1..=longest).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        text.filter(within).ok_or_else(|| {
            PlanError::wrong(
                self.place(name),
                format!("must be a text of 1 to {longest} characters"),
            )
        })
    }

    /// Takes a decimal string.
    pub(super) fn decimal(&mut self, name: &'static str) -> Result<Option<Exact>, PlanError> {
        let Some(value) = self.optional(name) else {
            return Ok(None);
        };
        let text = value.as_str().ok_or_else(|| {
            PlanError::wrong(
                self.place(name),
                "must be a decimal string such as \"0.10\", in quotes",
            )
        })?;
        Exact::parse(text).map(Some).map_err(|why| PlanError::Decimal {
            field: self.place(name),
            value: text.to_owned(),
            why,
        })
    }

    /// Takes a decimal string that must be there.
    pub(super) fn required_decimal(&mut self, name: &'static str) -> Result<Exact, PlanError> {
        self.decimal(name)?
            .ok_or_else(|| PlanError::wrong(self.place(name), "is missing"))
    }

    /// Takes a percentage of 0 to 100.
    pub(super) fn percent(&mut self, name: &'static str) -> Result<Option<Exact>, PlanError> {
        let Some(percent) = self.decimal(name)? else {
            return Ok(None);
        };
        if percent.compare(Exact::new(100, 0)).is_ok_and(Ordering::is_le) {
            Ok(Some(percent))
        } else {
            Err(PlanError::wrong(self.place(name), "must be at most 100"))
        }
    }

    /// Takes a whole number that is not negative.
    pub(super) fn whole(&mut self, name: &'static str) -> Result<Option<u64>, PlanError> {
        let Some(value) = self.optional(name) else {
            return Ok(None);
        };
        value
            .as_u64()
            .map(Some)
            .ok_or_else(|| PlanError::wrong(self.place(name), "must be a whole number that is not negative"))
    }

    /// Takes `true` or `false`.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<Option<bool>, PlanError> {
        let Some(value) = self.optional(name) else {
            return Ok(None);
        };
        value
            .as_bool()
            .map(Some)
            .ok_or_else(|| PlanError::wrong(self.place(name), "must be true or false"))
    }

    /// Takes a list; absent is empty.
    pub(super) fn list(&mut self, name: &'static str, longest: usize) -> Result<&'a [Value], PlanError> {
        let Some(value) = self.optional(name) else {
            return Ok(&[]);
        };
        match value {
            Value::Array(items) if items.len() <= longest => Ok(items),
            _ => Err(PlanError::wrong(
                self.place(name),
                format!("must be a list of at most {longest}"),
            )),
        }
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), PlanError> {
        let left = self
            .all
            .iter()
            .find(|(name, value)| !value.is_null() && !self.taken.contains(&name.as_str()));
        match left {
            None => Ok(()),
            Some((name, _)) => Err(PlanError::UnknownField {
                field: self.place(name),
            }),
        }
    }
}
