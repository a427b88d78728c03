//! The archive of a SQLite database that is served.

use std::sync::Arc;

use anyhow::Context as _;
use springtide_runtime::admin::SharedRegistry;
use springtide_runtime::clock::Clock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ServeArgs;
use crate::metrics::ArchiveMetrics;
use crate::store::{ArchiveSettings, Archiver, Store};

/// The archive of the database, if there is one, and what tells it that nobody writes any longer.
pub(super) async fn archiving(
    store: &Store,
    args: &ServeArgs,
    clock: &Arc<dyn Clock>,
    registry: &SharedRegistry,
) -> anyhow::Result<Option<(JoinHandle<()>, CancellationToken)>> {
    let Some(folder) = args.archive.clone() else {
        return Ok(None);
    };
    let metrics = ArchiveMetrics::default();
    let settings = ArchiveSettings {
        folder,
        keep: jiff::SignedDuration::from_hours(i64::from(args.archive_days) * 24),
    };
    let archiver = Archiver::open(store, settings, clock.clone(), metrics.clone())
        .await
        .context("the database cannot be archived")?;
    metrics.register(&mut registry.lock());
    let writers_ended = CancellationToken::new();
    let archiving = tokio::spawn(archiver.run(writers_ended.clone()));
    Ok(Some((archiving, writers_ended)))
}
