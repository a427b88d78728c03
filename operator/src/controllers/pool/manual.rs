//! The manual override: what `kubectl scale` left in `spec.replicas`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, Time};

use crate::api::{BotPool, ManualMode, OverrideStatus};
use crate::autoscale::{HeldTo, Override, OverrideMode};
use crate::controllers::conditions::whole_seconds;
use crate::names::FIELD_MANAGER;

/// The subresource through which `kubectl scale` writes.
const SCALE: &str = "scale";
/// Who writes the resource itself is in its managed fields. Of a custom resource the API server notes nobody who writes through
/// the subresource.
const NOBODY_SAYS: &str = "scale subresource";

/// An override that somebody gave.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ManualState {
    pub(super) manual: Override,
    pub(super) set_by: String,
    pub(super) lapsed: bool,
}

impl ManualState {
    /// For the status.
    pub(super) fn status(&self, mode: ManualMode) -> OverrideStatus {
        OverrideStatus {
            summary: self.summary(mode),
            replicas: self.manual.workers,
            mode,
            set_by: self.set_by.clone(),
            set_at: Time(whole_seconds(self.manual.set_at)),
            lapses_at: Time(whole_seconds(self.manual.lapses_at)),
        }
    }

    /// In a line; with the date only where it is another than that on which it was given.
    fn summary(&self, mode: ManualMode) -> String {
        let Override {
            mode: _,
            workers,
            set_at,
            lapses_at,
        } = self.manual;
        let utc = |time: Timestamp| time.to_zoned(TimeZone::UTC);
        let until = if utc(set_at).date() == utc(lapses_at).date() {
            utc(lapses_at).strftime("%H:%MZ")
        } else {
            utc(lapses_at).strftime("%Y-%m-%d %H:%MZ")
        };
        format!("{mode:?} {workers} until {until}")
    }
}

/// The override that `spec.replicas` stands for.
pub(super) fn manual(pool: &BotPool, now: Timestamp) -> Option<ManualState> {
    let spec = &pool.spec.scaling.manual;
    let known = pool.status.as_ref().and_then(|status| status.r#override.as_ref());
    let known = known.filter(|known| known.replicas == pool.spec.replicas);
    let Given { by, at } = given(pool, known);
    let mode = match spec.mode {
        ManualMode::Floor => OverrideMode::Floor,
        ManualMode::Pin => OverrideMode::Pin,
        ManualMode::Ceiling => OverrideMode::Ceiling,
    };
    let manual = Override::new(mode, pool.spec.replicas, at.unwrap_or(now), spec.ttl.0)?;
    Some(ManualState {
        manual,
        set_by: by.unwrap_or_else(|| NOBODY_SAYS.to_owned()),
        lapsed: manual.has_lapsed(now),
    })
}

/// What a promotion cannot have more of, and until when, because somebody said so.
pub(in crate::controllers) fn held_to(pool: &BotPool, now: Timestamp) -> Option<HeldTo> {
    let manual = manual(pool, now).filter(|manual| !manual.lapsed)?.manual;
    let is_bound = matches!(manual.mode, OverrideMode::Pin | OverrideMode::Ceiling);
    is_bound.then_some(HeldTo {
        workers: manual.workers,
        until: manual.lapses_at,
    })
}

/// Who gave the number that stands, and when, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Given {
    by: Option<String>,
    at: Option<Timestamp>,
}

impl Given {
    fn of(entry: &ManagedFieldsEntry) -> Self {
        Self {
            by: Some(entry.manager.clone().unwrap_or_default()),
            at: entry.time.as_ref().map(|time| time.0),
        }
    }
}

/// From the managed fields. The time of an entry is that of the last field that its manager changed through it. Through the
/// subresource `scale` that is the number, always; elsewhere it may be any field, so what the status remembers of the same
/// number and manager counts.
fn given(pool: &BotPool, known: Option<&OverrideStatus>) -> Given {
    let entries = pool.metadata.managed_fields.iter().flatten();
    let foreign = |entry: &&ManagedFieldsEntry| entry.manager.as_deref() != Some(FIELD_MANAGER);
    let writers: Vec<_> = entries
        .filter(|entry| owns_replicas(entry))
        .filter(foreign)
        .collect();
    let scaled = writers
        .iter()
        .filter(|entry| entry.subresource.as_deref() == Some(SCALE));
    let scaled = scaled.max_by_key(|entry| time(entry));
    let still_by = |manager: &str| {
        let by = |entry: &&ManagedFieldsEntry| entry.manager.as_deref() == Some(manager);
        writers.is_empty() || writers.iter().any(by)
    };
    if let Some(known) = known.filter(|known| still_by(&known.set_by)) {
        let anew = scaled.filter(|entry| time(entry) > Some(known.set_at.0));
        return anew.map_or_else(
            || Given {
                by: Some(known.set_by.clone()),
                at: Some(known.set_at.0),
            },
            |entry| Given::of(entry),
        );
    }
    let last = writers.iter().max_by_key(|entry| time(entry));
    last.map_or_else(Given::default, |entry| Given::of(entry))
}

fn time(entry: &ManagedFieldsEntry) -> Option<Timestamp> {
    entry.time.as_ref().map(|time| time.0)
}

/// The fields of a manager that wrote `spec.replicas` and nothing else.
pub fn replicas_alone() -> FieldsV1 {
    FieldsV1(serde_json::json!({"f:spec": {"f:replicas": {}}}))
}

/// Whether that manager wrote `spec.replicas`.
pub fn owns_replicas(entry: &ManagedFieldsEntry) -> bool {
    entry
        .fields_v1
        .as_ref()
        .is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
}
