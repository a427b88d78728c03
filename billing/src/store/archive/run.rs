//! The archive of a database that is served: brings frames, checkpoints, makes bases, removes what is too old.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use springtide_runtime::clock::Clock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::base::{self, Copied};
use super::ship::{Shipped, Shipper};
use super::{ArchiveError, at};
use crate::metrics::ArchiveMetrics;
use crate::store::sqlite::Sqlite;
use crate::store::{Store, with_causes};

/// How often it looks for frames: so exact are its instants.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);
/// The log is restarted when it is so long, or its first frame so old.
const RESTART_BYTES: u64 = 16 << 20;
const RESTART_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// After a try that somebody who reads for long stood in the way of.
const TRY_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// Where an archive is, and how long it is kept.
#[derive(Clone, Debug)]
pub struct ArchiveSettings {
    /// A folder, on another disk than the database.
    pub folder: PathBuf,
    /// What is older is removed.
    pub keep: SignedDuration,
}

/// Archives a database until it is told to end.
pub struct Archiver {
    database: Sqlite,
    shipper: Arc<Mutex<Shipper>>,
    /// The database's file. It is never closed: closing it takes SQLite's locks on it away from the whole process.
    file: Arc<File>,
    copying: Option<(u64, JoinHandle<Result<Copied, ArchiveError>>)>,
    restarted_at: Timestamp,
    not_before: Timestamp,
    keep: SignedDuration,
    clock: Arc<dyn Clock>,
    metrics: ArchiveMetrics,
    /// All writers have ended.
    stopped: CancellationToken,
}

impl Archiver {
    /// Of a store that was opened to be archived.
    pub async fn open(
        store: &Store,
        settings: ArchiveSettings,
        clock: Arc<dyn Clock>,
        metrics: ArchiveMetrics,
    ) -> Result<Self, ArchiveError> {
        let Store::Sqlite(database) = store else {
            return Err(ArchiveError::NotSqlite);
        };
        let path = database.file();
        let file = Arc::new(File::open(path).map_err(at(path))?);
        std::mem::forget(file.clone());
        let (folder, wal) = (settings.folder, database.write_ahead_log());
        let shipper = tokio::task::spawn_blocking(move || Shipper::open(&folder, wal)).await??;
        let now = clock.now();
        Ok(Self {
            database: database.clone(),
            shipper: Arc::new(Mutex::new(shipper)),
            file,
            copying: None,
            restarted_at: now,
            not_before: now,
            keep: settings.keep,
            clock,
            metrics,
            stopped: CancellationToken::new(),
        })
    }

    /// Archives until `stopped`, and then once more: all writers have ended by then.
    pub async fn run(mut self, stopped: CancellationToken) {
        self.stopped = stopped.clone();
        loop {
            let pause = match self.step().await {
                Ok(()) => LOOK_EVERY,
                Err(error) => {
                    self.metrics.failed();
                    tracing::error!(error = %with_causes(&error), "nothing is archived; it is tried again");
                    AFTER_A_FAILURE
                }
            };
            tokio::select! {
                () = stopped.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        let clock = self.clock.clone();
        match self.blocking(move |shipper| shipper.finish(&*clock)).await {
            Ok(Shipped::Whole(until)) => tracing::info!(%until, "all is archived"),
            Ok(Shipped::Lost(reason)) => tracing::warn!(reason, "the last writes are not archived"),
            Err(error) => {
                tracing::error!(error = %with_causes(&error), "the last writes are not archived");
            }
        }
    }

    /// One look.
    pub(super) async fn step(&mut self) -> Result<(), ArchiveError> {
        if let Shipped::Lost(reason) = self.ship().await? {
            self.begin_line(reason).await?;
        }
        self.finish_base().await?;
        if self.restart_is_due() {
            self.restart().await?;
        }
        self.begin_base();
        Ok(())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Shipper) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let shipper = self.shipper.clone();
        tokio::task::spawn_blocking(move || work(&mut shipper.lock())).await?
    }

    async fn ship(&self) -> Result<Shipped, ArchiveError> {
        let clock = self.clock.clone();
        let shipped = self.blocking(move |shipper| shipper.ship(&*clock)).await?;
        if let Shipped::Whole(until) = shipped {
            self.metrics.whole_until(until);
        }
        Ok(shipped)
    }

    /// The write that begins it restarts the log if it may be, so that what comes after is in its first segment.
    async fn begin_line(&mut self, reason: &'static str) -> Result<(), ArchiveError> {
        let number = self.shipper.lock().next_number();
        self.database.mark_archived(number).await?;
        let now = self.clock.now();
        if self.blocking(move |shipper| shipper.begin_line(now)).await? {
            self.restarted_at = now;
            if number == 1 {
                tracing::info!("an archive begins; it can restore something when it has its first base");
            } else {
                self.metrics.gap();
                tracing::warn!(
                    reason,
                    "the archive has a gap; what comes can be restored when there is a new base"
                );
            }
        }
        Ok(())
    }

    /// Whether the line that is written now can restore something.
    #[cfg(test)]
    pub(super) fn has_base(&self) -> bool {
        self.shipper.lock().newest_base.is_some() && self.copying.is_none()
    }

    fn restart_is_due(&self) -> bool {
        let shipper = self.shipper.lock();
        // The one frame says which segment it is.
        let Some((_, frames @ 2..)) = shipper.now() else {
            return false;
        };
        let now = self.clock.now();
        let is_long = frames.saturating_mul(shipper.page_size()) >= RESTART_BYTES;
        let is_old = now.duration_since(self.restarted_at) >= RESTART_EVERY;
        self.copying.is_none() && now >= self.not_before && (is_long || is_old)
    }

    /// Brings the log into the database's file, and begins it anew. Nobody else writes from the last look at it until all
    /// that it has is in both places; the write after it restarts the log, before another checkpoint can.
    async fn restart(&mut self) -> Result<(), ArchiveError> {
        let held = self.database.begin().await?;
        if let Shipped::Lost(reason) = self.ship().await? {
            held.rollback().await?;
            return self.begin_line(reason).await;
        }
        let (busy, frames, copied) = self.database.checkpoint().await?;
        let now = self.clock.now();
        let shipped = self.shipper.lock().now();
        let Some((number, shipped)) = shipped.filter(|_| busy == 0) else {
            self.not_before = now + TRY_AGAIN;
            return Ok(held.rollback().await?);
        };
        if u64::try_from(frames) != Ok(shipped) {
            self.shipper.lock().lose();
            tracing::error!(frames, shipped, "the archive and the write-ahead log differ");
            return Ok(held.rollback().await?);
        }
        if copied < frames {
            // Somebody reads what was before.
            self.not_before = now + TRY_AGAIN;
            return Ok(held.rollback().await?);
        }
        self.blocking(move |shipper| shipper.append_restartable(now))
            .await?;
        held.rollback().await?;
        self.database.mark_archived(number + 1).await?;
        self.restarted_at = now;
        // What is lost now is said at the next look.
        if matches!(self.ship().await?, Shipped::Whole(_)) {
            let oldest = now.saturating_sub(self.keep).unwrap_or(Timestamp::MIN);
            let removed = self.blocking(move |shipper| shipper.prune(oldest)).await?;
            if removed > 0 {
                tracing::debug!(removed, "files of the archive were too old");
            }
        }
        Ok(())
    }

    fn begin_base(&mut self) {
        let shipper = self.shipper.lock();
        let Some((number, _)) = shipper.now() else { return };
        let size = self.file.metadata().map_or(0, |metadata| metadata.len());
        let now = self.clock.now();
        let is_due = shipper
            .newest_base
            .is_none_or(|(_, at)| base::is_due(now.duration_since(at), shipper.bytes_since_base, size));
        if self.copying.is_some() || !is_due {
            return;
        }
        let (file, path) = (self.file.clone(), shipper.unfinished_base(number));
        let stopped = self.stopped.clone();
        tracing::info!(bytes = size, "a base of the archive is being copied");
        let copy = tokio::task::spawn_blocking(move || base::copy(&file, &path, |_| !stopped.is_cancelled()));
        self.copying = Some((number, copy));
    }

    /// Whatever could be in the copy is in the archive after one more look.
    async fn finish_base(&mut self) -> Result<(), ArchiveError> {
        let Some((number, copy)) = self.copying.take_if(|(_, copy)| copy.is_finished()) else {
            return Ok(());
        };
        let copied = copy.await??;
        self.ship().await?;
        let usable_from = self.clock.now();
        if self
            .blocking(move |shipper| shipper.finish_base(number, copied, usable_from))
            .await?
        {
            tracing::info!(%usable_from, "the archive has a new base");
        }
        Ok(())
    }
}
