//! Who reports: a pod and its process start, as a small number. They are few and events are many.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Store, StoreError, in_transaction};
use crate::metering::decide::ReporterId;
use crate::metering::report::{Provenance, Report};

/// Most that are remembered; then it begins anew.
const REMEMBERED: usize = 100_000;

type Name = (String, String);

/// Those that this process has seen.
#[derive(Clone, Debug, Default)]
pub(super) struct SeenReporters(Arc<Mutex<HashMap<Name, ReporterId>>>);

/// The numbers of a batch's reporters.
pub(super) struct ReporterIds(pub(super) HashMap<String, HashMap<String, ReporterId>>);

impl ReporterIds {
    pub(super) fn of(&self, provenance: &Provenance) -> Result<ReporterId, StoreError> {
        let of_pod = self.0.get(&provenance.reporter);
        let id = of_pod.and_then(|starts| starts.get(&provenance.boot_id));
        id.copied().ok_or(StoreError::unreadable("reporter"))
    }
}

impl Store {
    /// The numbers of those who report. New ones are written at once, so that what is remembered is in the database.
    pub(super) async fn reporter_ids(
        &self,
        reports: impl Iterator<Item = &Box<Report>>,
    ) -> Result<ReporterIds, StoreError> {
        let names: BTreeSet<_> = reports
            .map(|report| (&report.provenance.reporter, &report.provenance.boot_id))
            .collect();
        let names: Vec<Name> = names
            .into_iter()
            .map(|(name, boot)| (name.clone(), boot.clone()))
            .collect();
        let seen = match self {
            Self::Sqlite(database) => &database.reporters,
            Self::Postgres(database) => &database.reporters,
        };
        let mut ids = HashMap::<_, HashMap<_, _>>::new();
        let mut missing = Vec::new();
        {
            let known = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
            for name in names {
                match known.get(&name) {
                    Some(id) => drop(ids.entry(name.0).or_default().insert(name.1, *id)),
                    None => missing.push(name),
                }
            }
        }
        if missing.is_empty() {
            return Ok(ReporterIds(ids));
        }
        let found = self.write_reporters(missing).await?;
        let mut known = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + found.len() > REMEMBERED {
            known.clear();
        }
        for (name, id) in found {
            ids.entry(name.0.clone()).or_default().insert(name.1.clone(), id);
            known.insert(name, id);
        }
        Ok(ReporterIds(ids))
    }

    async fn write_reporters(&self, names: Vec<Name>) -> Result<Vec<(Name, ReporterId)>, StoreError> {
        let insert = "INSERT INTO reporter (name, boot_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let select = "SELECT id FROM reporter WHERE name = $1 AND boot_id = $2";
        let mut found = Vec::with_capacity(names.len());
        in_transaction!(self, transaction => {
            for name in names {
                sqlx::query(insert).bind(&name.0).bind(&name.1).execute(&mut *transaction).await?;
                let (id,): (ReporterId,) =
                    sqlx::query_as(select).bind(&name.0).bind(&name.1).fetch_one(&mut *transaction).await?;
                found.push((name, id));
            }
            transaction.commit().await?;
        });
        Ok(found)
    }
}
