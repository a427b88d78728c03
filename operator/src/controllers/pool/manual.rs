//! The manual override: what `kubectl scale` left in `spec.replicas`.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, Time};

use crate::api::{BotPool, ManualMode, OverrideStatus};
use crate::autoscale::{Override, OverrideMode};
use crate::controllers::conditions::whole_seconds;
use crate::names::FIELD_MANAGER;

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
            replicas: self.manual.workers,
            mode,
            set_by: self.set_by.clone(),
            set_at: Time(whole_seconds(self.manual.set_at)),
            lapses_at: Time(whole_seconds(self.manual.lapses_at)),
        }
    }
}

/// The override that `spec.replicas` stands for. Who gave it and when is in the object's managed fields; if they do not
/// say, it is as old as the status says, or new.
pub(super) fn manual(pool: &BotPool, now: Timestamp) -> Option<ManualState> {
    let spec = &pool.spec.scaling.manual;
    let known = pool.status.as_ref().and_then(|status| status.r#override.as_ref());
    let known = known.filter(|known| known.replicas == pool.spec.replicas);
    let author = author(pool);
    let set_at = author
        .as_ref()
        .and_then(|(_, at)| *at)
        .or_else(|| known.map(|known| known.set_at.0))
        .unwrap_or(now);
    let set_by = author
        .map(|(manager, _)| manager)
        .or_else(|| known.map(|known| known.set_by.clone()));
    let mode = match spec.mode {
        ManualMode::Floor => OverrideMode::Floor,
        ManualMode::Pin => OverrideMode::Pin,
        ManualMode::Ceiling => OverrideMode::Ceiling,
    };
    let manual = Override::new(mode, pool.spec.replicas, set_at, spec.ttl.0)?;
    Some(ManualState {
        manual,
        set_by: set_by.unwrap_or_else(|| "unknown".to_owned()),
        lapsed: manual.has_lapsed(now),
    })
}

/// Who wrote `spec.replicas`, and when.
fn author(pool: &BotPool) -> Option<(String, Option<Timestamp>)> {
    let entries = pool.metadata.managed_fields.as_ref()?;
    let writers = entries
        .iter()
        .filter(|entry| owns_replicas(entry) && entry.manager.as_deref() != Some(FIELD_MANAGER));
    let last = writers.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    Some((
        last.manager.clone().unwrap_or_default(),
        last.time.as_ref().map(|time| time.0),
    ))
}

/// Whether that manager wrote `spec.replicas`.
pub fn owns_replicas(entry: &ManagedFieldsEntry) -> bool {
    entry
        .fields_v1
        .as_ref()
        .is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
}
