//! The archive of a real SQLite file, by a clock that stands still until it is set.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use springtide_runtime::clock::ManualClock;
use sqlx::{Connection as _, SqliteConnection};

use super::folder::ArchiveFolder;
use super::run::{ArchiveSettings, Archiver};
use super::{ArchiveError, Stretch, reach, restore};
use crate::metrics::ArchiveMetrics;
use crate::store::Store;

fn second(number: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + number).unwrap()
}

struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    clock: ManualClock,
    archiver: Option<Archiver>,
    restores: u32,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/billing.db", folder.path().display());
        let store = Store::connect_to_serve(&url, true).await.unwrap();
        let mut bench = Self {
            folder,
            store,
            clock: ManualClock::new(second(0)),
            archiver: None,
            restores: 0,
        };
        bench
            .execute("CREATE TABLE written (number INTEGER PRIMARY KEY, text TEXT)")
            .await;
        bench.open().await;
        bench.until_it_has_a_base().await;
        bench
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    fn url(&self) -> String {
        format!("sqlite://{}/billing.db", self.folder.path().display())
    }

    async fn try_open(&self) -> Result<Archiver, ArchiveError> {
        let settings = ArchiveSettings {
            folder: self.archive(),
            keep: SignedDuration::from_hours(24),
        };
        let clock = Arc::new(self.clock.clone());
        Archiver::open(&self.store, settings, clock, ArchiveMetrics::default()).await
    }

    async fn open(&mut self) {
        self.archiver = None;
        self.archiver = Some(self.try_open().await.unwrap());
    }

    /// A connection as commands have it.
    async fn other(&self) -> SqliteConnection {
        let mut other = SqliteConnection::connect(&self.url()).await.unwrap();
        let text = "PRAGMA wal_autocheckpoint = 0";
        sqlx::query(text).execute(&mut other).await.unwrap();
        other
    }

    async fn execute(&self, text: &'static str) {
        let Store::Sqlite(database) = &self.store else {
            panic!("it is SQLite")
        };
        let mut transaction = database.begin().await.unwrap();
        sqlx::query(text).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }

    async fn write(&self, number: i64) {
        let Store::Sqlite(database) = &self.store else {
            panic!("it is SQLite")
        };
        let mut transaction = database.begin().await.unwrap();
        sqlx::query("INSERT INTO written VALUES ($1, $2)")
            .bind(number)
            .bind("x".repeat(3_000))
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }

    /// Looks at a second.
    async fn look(&mut self, at: i64) {
        self.clock.set(second(at));
        self.archiver.as_mut().unwrap().step().await.unwrap();
    }

    async fn until_it_has_a_base(&mut self) {
        loop {
            self.archiver.as_mut().unwrap().step().await.unwrap();
            let bases = ArchiveFolder::new(&self.archive()).contents().unwrap().bases;
            let line = self.archiver.as_ref().unwrap().has_base();
            if line && !bases.is_empty() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// What is in the database that an instant restores.
    async fn restored(&mut self, at: Option<i64>) -> Result<Vec<i64>, ArchiveError> {
        self.restores += 1;
        let to = self.folder.path().join(format!("restored-{}.db", self.restores));
        restore(&self.archive(), at.map(second), &to, &mut |_| ())?;
        let store = Store::connect(&format!("sqlite://{}", to.display()), false)
            .await
            .unwrap();
        assert_eq!(store.damage().await.unwrap(), Vec::<String>::new());
        let Store::Sqlite(database) = &store else {
            panic!("it is SQLite")
        };
        assert!(!database.is_archived(), "what is restored is no archive's yet");
        let numbers = sqlx::query_scalar("SELECT number FROM written ORDER BY 1");
        let numbers = numbers.fetch_all(database.readers()).await.unwrap();
        store.close().await;
        Ok(numbers)
    }

    fn segments(&self) -> Vec<PathBuf> {
        let folder = ArchiveFolder::new(&self.archive());
        let numbers = folder.contents().unwrap().segments;
        numbers.into_iter().map(|number| folder.segment(number)).collect()
    }
}

#[tokio::test]
async fn each_instant_is_restored_as_it_was_whatever_restarts_of_the_log_lie_between() {
    let mut bench = Bench::new().await;
    let mut now = 0;
    for number in 1..=30 {
        bench.write(number).await;
        // Two looks in three are so late that the log is restarted.
        now += if number % 3 == 0 { 10 } else { 61 };
        bench.look(now).await;
        if number == 15 {
            bench.execute("DELETE FROM written WHERE number = 1").await;
            let mut other = bench.other().await;
            sqlx::query("VACUUM").execute(&mut other).await.unwrap();
        }
    }
    assert!(bench.segments().len() > 15, "the log was restarted");
    let expected = |until: i64| (if until > 15 { 2 } else { 1 }..=until).collect::<Vec<_>>();
    let mut then = 0;
    for number in 1..=30 {
        then += if number % 3 == 0 { 10 } else { 61 };
        if number != 15 {
            assert_eq!(
                bench.restored(Some(then)).await.unwrap(),
                expected(number),
                "{number}"
            );
        }
        if number != 15 && number < 30 {
            let later = bench.restored(Some(then + 9)).await.unwrap();
            assert_eq!(later, expected(number), "{number} and nothing of the next");
        }
    }
    assert_eq!(bench.restored(None).await.unwrap(), expected(30));
    assert!(matches!(
        bench.restored(Some(now + 1)).await,
        Err(ArchiveError::TooLate(until)) if until == second(now)
    ));
    assert!(matches!(
        bench.restored(Some(-1)).await,
        Err(ArchiveError::TooEarly(_))
    ));
}

#[tokio::test]
async fn who_reads_for_long_keeps_the_log_and_loses_nothing_of_it() {
    let mut bench = Bench::new().await;
    let mut reader = bench.other().await;
    bench.write(1).await;
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM written")
        .execute(&mut *reading)
        .await
        .unwrap();
    for number in 2..6 {
        bench.write(number).await;
        bench.look(number * 100).await;
    }
    let before = bench.segments().len();
    reading.rollback().await.unwrap();
    for number in 6..9 {
        bench.write(number).await;
        bench.look(number * 100).await;
    }
    assert!(bench.segments().len() > before, "then it is restarted");
    assert_eq!(bench.restored(Some(399)).await.unwrap(), [1, 2, 3]);
    assert_eq!(bench.restored(None).await.unwrap(), (1..9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_server_that_starts_again_goes_on_where_the_one_before_ended_and_leaves_no_gap() {
    let mut bench = Bench::new().await;
    for number in 1..6 {
        bench.write(number).await;
        bench.look(number * 100).await;
        bench.write(number + 100).await;
        bench.store.close().await;
        bench.archiver = None;
        bench.store = Store::connect_to_serve(&bench.url(), true).await.unwrap();
        bench.open().await;
        bench.look(number * 100 + 1).await;
    }
    let stretches = reach(&bench.archive()).unwrap();
    let (from, until) = (second(0), second(501));
    assert_eq!(stretches, [Stretch { from, until }]);
    assert_eq!(bench.restored(Some(300)).await.unwrap(), [1, 2, 3, 101, 102]);
    assert_eq!(bench.restored(None).await.unwrap().len(), 10);
}

#[tokio::test]
async fn what_another_program_took_out_of_the_log_is_a_gap_and_no_instant_in_it_is_restored() {
    let mut bench = Bench::new().await;
    bench.write(1).await;
    bench.look(10).await;
    bench.write(2).await;
    let mut other = SqliteConnection::connect(&bench.url()).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut other)
        .await
        .unwrap();
    bench.write(3).await;
    bench.look(20).await;
    bench.clock.set(second(30));
    bench.until_it_has_a_base().await;
    bench.write(4).await;
    bench.look(40).await;
    assert_eq!(bench.restored(Some(10)).await.unwrap(), [1]);
    for unknown in [11, 20, 29] {
        let refused = bench.restored(Some(unknown)).await.unwrap_err();
        let ArchiveError::Gap { from, until } = refused else {
            panic!("{refused}")
        };
        assert_eq!((from, until), (second(10), Some(second(30))), "{unknown}");
    }
    assert_eq!(bench.restored(Some(30)).await.unwrap(), [1, 2, 3]);
    assert_eq!(bench.restored(None).await.unwrap(), [1, 2, 3, 4]);
    assert_eq!(reach(&bench.archive()).unwrap().len(), 2);
}

#[tokio::test]
async fn a_log_that_is_gone_is_a_gap() {
    let mut bench = Bench::new().await;
    bench.write(1).await;
    bench.look(10).await;
    bench.archiver = None;
    let copy = bench.folder.path().join("copy.db");
    // As a program of another kind leaves it that was the last to close the file.
    restore(&bench.archive(), None, &copy, &mut |_| ()).unwrap();
    bench.store.close().await;
    bench.store = Store::connect_to_serve(&format!("sqlite://{}", copy.display()), true)
        .await
        .unwrap();
    bench.clock.set(second(20));
    bench.open().await;
    bench.until_it_has_a_base().await;
    assert_eq!(reach(&bench.archive()).unwrap().len(), 2);
    assert!(matches!(
        bench.restored(Some(15)).await,
        Err(ArchiveError::Gap { .. })
    ));
    assert_eq!(bench.restored(Some(20)).await.unwrap(), [1]);
}

#[tokio::test]
async fn what_was_changed_in_an_archive_is_named_and_nothing_is_restored_beyond_it() {
    let mut bench = Bench::new().await;
    for number in 1..=6 {
        bench.write(number).await;
        bench.look(number * 61).await;
    }
    let segments = bench.segments();
    let changed = segments.get(3).unwrap().clone();
    let whole = std::fs::read(&changed).unwrap();
    for offset in (0..whole.len()).step_by(whole.len() / 37) {
        let mut bytes = whole.clone();
        bytes[offset] ^= 4;
        std::fs::write(&changed, bytes).unwrap();
        let refused = bench.restored(None).await.unwrap_err();
        let ArchiveError::Damaged { path, until, .. } = &refused else {
            panic!("{offset}: {refused}")
        };
        assert_eq!(*path, changed.display().to_string(), "{offset}");
        let until = until.unwrap().as_second() - second(0).as_second();
        assert!(
            bench.restored(Some(until)).await.is_ok(),
            "what was before is whole"
        );
    }
    std::fs::write(&changed, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(
        bench.restored(None).await,
        Err(ArchiveError::Damaged { .. })
    ));
    std::fs::remove_file(&changed).unwrap();
    let refused = bench.restored(None).await.unwrap_err().to_string();
    assert!(
        refused.contains("is missing") && refused.contains("--at 20"),
        "{refused}"
    );
    std::fs::write(&changed, &whole).unwrap();
    assert_eq!(bench.restored(None).await.unwrap().len(), 6);
    let base = ArchiveFolder::new(&bench.archive()).base(1);
    let mut bytes = std::fs::read(&base).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&base, bytes).unwrap();
    assert!(
        matches!(bench.restored(None).await, Err(ArchiveError::Damaged { path, .. }) if path.contains("base-"))
    );
}

#[tokio::test]
async fn an_archive_whose_last_write_was_cut_off_anywhere_restores_what_is_whole_and_goes_on() {
    let mut bench = Bench::new().await;
    bench.write(1).await;
    bench.look(10).await;
    let last = bench.segments().pop().unwrap();
    let before = std::fs::metadata(&last).unwrap().len();
    bench.write(2).await;
    bench.look(20).await;
    let whole = std::fs::read(&last).unwrap();
    let reached = bench.archive().join("reached.json");
    let step = (whole.len() - usize::try_from(before).unwrap()) / 11;
    for length in (usize::try_from(before).unwrap()..whole.len()).step_by(step) {
        bench.archiver = None;
        for is_zero in [false, true] {
            let mut bytes = whole[..length].to_vec();
            if is_zero {
                bytes.truncate(usize::try_from(before).unwrap());
                bytes.resize(whole.len(), 0);
            }
            std::fs::write(&last, bytes).unwrap();
            drop(std::fs::remove_file(&reached));
            assert_eq!(bench.restored(None).await.unwrap(), [1], "{length}");
        }
        bench.open().await;
        bench.look(30).await;
        assert_eq!(bench.restored(None).await.unwrap(), [1, 2], "{length}");
        assert_eq!(reach(&bench.archive()).unwrap().len(), 1, "{length}: no gap");
    }
}

#[tokio::test]
async fn an_archive_that_lost_its_end_is_refused() {
    let mut bench = Bench::new().await;
    bench.write(1).await;
    bench.look(10).await;
    let last = bench.segments().pop().unwrap();
    let whole = std::fs::read(&last).unwrap();
    std::fs::write(&last, &whole[..whole.len() - 5]).unwrap();
    let refused = bench.restored(None).await.unwrap_err();
    assert!(matches!(refused, ArchiveError::Damaged { .. }), "{refused}");
}

#[tokio::test]
async fn nothing_that_is_there_is_written_over_and_an_archive_has_one_writer() {
    let mut bench = Bench::new().await;
    bench.write(1).await;
    bench.look(10).await;
    for name in ["there.db", "other.db-wal"] {
        let path = bench.folder.path().join(name);
        std::fs::write(&path, "mine").unwrap();
        let to = bench.folder.path().join(name.trim_end_matches("-wal"));
        let refused = restore(&bench.archive(), None, &to, &mut |_| ()).unwrap_err();
        assert!(matches!(refused, ArchiveError::Exists(_)), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }
    assert!(matches!(bench.try_open().await, Err(ArchiveError::Taken(_))));
}

#[tokio::test]
async fn what_is_older_than_it_is_kept_goes_and_each_younger_instant_stays() {
    let mut bench = Bench::new().await;
    let hour = 3_600;
    for number in 1..=20 {
        bench.write(number).await;
        bench.look(number * 24 * hour).await;
        bench.until_it_has_a_base().await;
    }
    let folder = ArchiveFolder::new(&bench.archive());
    let contents = folder.contents().unwrap();
    assert!(contents.bases.len() <= 2, "one a week, and those are gone");
    assert!(!contents.segments.contains(&1));
    assert_eq!(
        bench.restored(Some(19 * 24 * hour)).await.unwrap(),
        (1..=19).collect::<Vec<_>>()
    );
    assert!(matches!(
        bench.restored(Some(24 * hour)).await,
        Err(ArchiveError::TooEarly(_))
    ));
}
