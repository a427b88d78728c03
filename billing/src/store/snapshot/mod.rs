//! A copy of all that billing keeps, in files that either database reads back.
//!
//! A *backup* is a folder: for each table a file with a JSON list per row, and a manifest with rows and SHA-256 of each
//! file, written last. All of it is read in one transaction, so it is what was there at one instant, while others go on
//! writing. Bytes are hexadecimal, quantities whole billionths in decimal text. Tables and columns are the database's own
//! word, so that none is forgotten.

mod files;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use futures::TryStreamExt as _;
use jiff::{Timestamp, ToSpan as _};
use sqlx::AssertSqlSafe;

use super::error::SCHEMA_VERSION;
use super::ingest::instant_of;
use super::{Store, StoreError, in_transaction, on_readers};
use files::{MANIFEST, NewTableFile, TableFile, at, read_manifest};
pub use files::{Manifest, SnapshotError};

/// The tables that have a row from the first, those that refer to others first.
const SEEDED: [&str; 2] = ["invoice_chain", "legal_entity"];
const ENTRIES: &str = "journal_entry";
const POSTINGS: &str = "journal_posting";

/// (table, column, type).
type Column = (String, String, String);
/// (table, the table that it refers to).
type Reference = (String, String);

/// A table as the database describes it.
struct Table {
    name: String,
    /// (name, type).
    columns: Vec<(String, String)>,
}

/// How a column's values are read into, and from, JSON.
fn expressions(name: &str, data_type: &str, position: usize) -> Result<(String, String), StoreError> {
    let value = format!("value ->> {position}");
    Ok(match data_type {
        "INTEGER" | "TEXT" => (format!("\"{name}\""), value),
        "BLOB" => (
            format!("iif(\"{name}\" IS NULL, NULL, lower(hex(\"{name}\")))"),
            format!("unhex({value})"),
        ),
        "bigint" | "integer" | "smallint" | "text" => {
            (format!("\"{name}\""), format!("({value})::{data_type}"))
        }
        "uuid" => (
            format!("replace(\"{name}\"::text, '-', '')"),
            format!("({value})::uuid"),
        ),
        "bytea" => (
            format!("encode(\"{name}\", 'hex')"),
            format!("decode({value}, 'hex')"),
        ),
        "numeric" => (
            format!("trunc(\"{name}\" * 1000000000)::text"),
            format!("({value})::numeric * 0.000000001"),
        ),
        _ => return Err(StoreError::unreadable("type of a column")),
    })
}

impl Table {
    fn select(&self, is_sqlite: bool) -> Result<String, StoreError> {
        let function = if is_sqlite {
            "json_array"
        } else {
            "json_build_array"
        };
        let columns = self
            .columns
            .iter()
            .map(|(name, data_type)| Ok(expressions(name, data_type, 0)?.0));
        let columns = columns.collect::<Result<Vec<_>, StoreError>>()?.join(", ");
        let cast = if is_sqlite { "" } else { "::text" };
        Ok(format!(
            "SELECT {function}({columns}){cast} FROM \"{}\"",
            self.name
        ))
    }

    /// Of the columns in the order of the backup.
    fn insert(&self, order: &[String], is_sqlite: bool) -> Result<String, StoreError> {
        let mut values = Vec::new();
        for (position, name) in order.iter().enumerate() {
            let column = self.columns.iter().find(|(own, _)| own == name);
            let (_, data_type) = column.ok_or(StoreError::unreadable("column"))?;
            values.push(expressions(name, data_type, position)?.1);
        }
        let (values, names) = (values.join(", "), order.join("\", \""));
        let (overriding, source) = if is_sqlite {
            ("", "json_each($1)")
        } else {
            ("OVERRIDING SYSTEM VALUE", "json_array_elements($1::json)")
        };
        let table = &self.name;
        Ok(format!(
            "INSERT INTO \"{table}\" (\"{names}\") {overriding} SELECT {values} FROM {source}"
        ))
    }
}

const COLUMNS_SQLITE: &str = "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c
    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> '_sqlx_migrations' ORDER BY m.name, c.cid";
const COLUMNS_POSTGRES: &str =
    "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL) FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND c.relname <> '_sqlx_migrations' ORDER BY 1, a.attnum";
const REFERENCES_SQLITE: &str =
    "SELECT DISTINCT m.name, f.\"table\" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
    WHERE m.type = 'table'";
const REFERENCES_POSTGRES: &str =
    "SELECT DISTINCT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint
    WHERE contype = 'f' AND connamespace = current_schema()::regnamespace";
const IDENTITIES: &str =
    "SELECT c.relname::text, a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attidentity <> '' AND c.relnamespace = current_schema()::regnamespace AND NOT c.relispartition";

/// Writes each table's file; gives when the oldest event was recorded.
macro_rules! write_tables {
    ($transaction:ident, $tables:ident, $folder:ident, $is_sqlite:ident, $written:ident) => {{
        let text = "SELECT min(recorded_at) FROM event";
        let earliest = sqlx::query_as(text).fetch_one(&mut *$transaction).await?;
        for table in &$tables {
            let mut file = NewTableFile::create($folder, &table.name)?;
            let text = table.select($is_sqlite)?;
            let mut rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(text)).fetch(&mut *$transaction);
            while let Some(row) = rows.try_next().await? {
                file.write(row)?;
            }
            let columns = table.columns.iter().map(|(name, _)| name.clone()).collect();
            $written.push(file.finish(&table.name, columns)?);
        }
        earliest
    }};
}
impl Store {
    /// All tables, those that others refer to first.
    async fn tables(&self) -> Result<Vec<Table>, StoreError> {
        let columns = self.dialect(COLUMNS_SQLITE, COLUMNS_POSTGRES);
        let references = self.dialect(REFERENCES_SQLITE, REFERENCES_POSTGRES);
        let (columns, mut references): (Vec<Column>, Vec<Reference>) = on_readers!(self, pool => {
            let columns = sqlx::query_as(columns).fetch_all(pool).await?;
            (columns, sqlx::query_as(references).fetch_all(pool).await?)
        });
        // A posting is written after its entries, and closes them; that reference is checked at the end of the transaction.
        references.retain(|(from, to)| (from.as_str(), to.as_str()) != (ENTRIES, POSTINGS));
        references.push((POSTINGS.to_owned(), ENTRIES.to_owned()));
        let mut waiting: Vec<Table> = Vec::new();
        for (table, name, data_type) in columns {
            match waiting.last_mut().filter(|last| last.name == table) {
                Some(last) => last.columns.push((name, data_type)),
                None => waiting.push(Table {
                    name: table,
                    columns: vec![(name, data_type)],
                }),
            }
        }
        let mut sorted: Vec<Table> = Vec::new();
        while !waiting.is_empty() {
            let missing: BTreeSet<_> = waiting.iter().map(|table| table.name.clone()).collect();
            let is_free = |table: &Table| {
                let mut its = references
                    .iter()
                    .filter(|(from, to)| *from == table.name && to != from);
                !its.any(|(_, to)| missing.contains(to))
            };
            let (free, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_free);
            if free.is_empty() {
                return Err(StoreError::unreadable("order of tables"));
            }
            sorted.extend(free);
            waiting = rest;
        }
        Ok(sorted)
    }

    fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Writes all that is there at one instant into a folder, which is made if it is missing; others write on meanwhile.
    pub async fn back_up(&self, folder: &Path, now: Timestamp) -> Result<Manifest, SnapshotError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        if fs::read_dir(folder).map_err(at(folder))?.next().is_some() {
            return Err(SnapshotError::FolderNotEmpty(folder.display().to_string()));
        }
        let tables = self.tables().await?;
        let is_sqlite = self.is_sqlite();
        let mut written = Vec::new();
        let (earliest_record,): (Option<i64>,) = match self {
            Self::Sqlite(database) => {
                let mut transaction = database.readers().begin().await?;
                write_tables!(transaction, tables, folder, is_sqlite, written)
            }
            Self::Postgres(database) => {
                let mut transaction = database.pool().begin().await?;
                sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                    .execute(&mut *transaction)
                    .await?;
                write_tables!(transaction, tables, folder, is_sqlite, written)
            }
        };
        let manifest = Manifest {
            version: SCHEMA_VERSION,
            taken_at: now,
            earliest_record,
            tables: written,
        };
        let path = folder.join(MANIFEST);
        let mut file = File::create(&path).map_err(at(&path))?;
        serde_json::to_writer_pretty(&mut file, &manifest)
            .map_err(std::io::Error::other)
            .and_then(|()| file.sync_all())
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(at(&path))?;
        Ok(manifest)
    }

    /// Reads a backup into tables that are there and empty: all of it or nothing.
    pub async fn restore(&self, folder: &Path, now: Timestamp) -> Result<Manifest, SnapshotError> {
        let manifest = read_manifest(folder)?;
        let tables = self.tables().await?;
        let known: BTreeSet<_> = tables.iter().map(|table| &table.name).collect();
        if manifest
            .tables
            .iter()
            .map(|table| &table.name)
            .collect::<BTreeSet<_>>()
            != known
        {
            return Err(SnapshotError::Differs(MANIFEST.to_owned()));
        }
        self.make_months_since(manifest.earliest_record, now).await?;
        let is_sqlite = self.is_sqlite();
        in_transaction!(self, transaction => {
            for table in &tables {
                let text = format!("SELECT count(*) FROM \"{}\"", table.name);
                let (rows,): (i64,) = sqlx::query_as(AssertSqlSafe(text)).fetch_one(&mut *transaction).await?;
                if rows > 0 && !SEEDED.contains(&table.name.as_str()) {
                    return Err(SnapshotError::NotEmpty(table.name.clone()));
                }
            }
            for seeded in SEEDED {
                let text = format!("DELETE FROM \"{seeded}\"");
                sqlx::query(AssertSqlSafe(text)).execute(&mut *transaction).await?;
            }
            for table in &tables {
                let its = manifest.tables.iter().find(|its| its.name == table.name);
                let its = its.ok_or_else(|| SnapshotError::Differs(MANIFEST.to_owned()))?;
                let mut own: Vec<_> = table.columns.iter().map(|(name, _)| name).collect();
                let mut columns: Vec<_> = its.columns.iter().collect();
                own.sort_unstable();
                columns.sort_unstable();
                if own != columns {
                    return Err(SnapshotError::Differs(MANIFEST.to_owned()));
                }
                let text = table.insert(&its.columns, is_sqlite)?;
                let mut file = TableFile::open(folder, its)?;
                let mut rows = 0;
                while let Some(some) = file.next_rows()? {
                    let insert = sqlx::query(AssertSqlSafe(text.clone())).bind(some);
                    rows += insert.execute(&mut *transaction).await?.rows_affected();
                }
                file.check(rows)?;
            }
            transaction.commit().await?;
        });
        self.continue_identities().await?;
        Ok(manifest)
    }

    /// Room for events by the months in which they were recorded.
    async fn make_months_since(&self, earliest: Option<i64>, now: Timestamp) -> Result<(), StoreError> {
        let mut month = earliest.map_or(Ok(now), instant_of)?;
        while month < now {
            self.make_months(month).await?;
            let next = month.to_zoned(jiff::tz::TimeZone::UTC).checked_add(1.month());
            month = next.map_err(|_| StoreError::unreadable("month"))?.timestamp();
        }
        self.make_months(now).await
    }

    /// New rows get numbers after those that are there. SQLite does so of itself.
    async fn continue_identities(&self) -> Result<(), StoreError> {
        let Self::Postgres(database) = self else {
            return Ok(());
        };
        let identities: Vec<(String, String)> = sqlx::query_as(IDENTITIES).fetch_all(database.pool()).await?;
        for (table, column) in identities {
            let text = format!(
                "SELECT setval(pg_get_serial_sequence('{table}', '{column}'), max(\"{column}\")) FROM \"{table}\" HAVING count(*) > 0"
            );
            sqlx::query(AssertSqlSafe(text)).execute(database.pool()).await?;
        }
        Ok(())
    }
}
