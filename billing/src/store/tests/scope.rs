//! What the database itself shows to reads of one tenant. On PostgreSQL alone.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::support::*;
use crate::metering::decide::LedgerId;
use crate::store::{Confinement, Store, StoreError, TenantStores, on_readers};

/// What no tenant's read sees anything of.
const CLOSED: [&str; 13] = [
    "bill_run",
    "event_key",
    "further_report",
    "invoice_chain",
    "portal_session",
    "provenance",
    "provider_audit",
    "rejection",
    "reporter",
    "rival",
    "sign_in_attempt",
    "staff_session",
    "staff_token",
];
const RELATIONS: &str = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
    AND relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition AND relname <> '_sqlx_migrations' ORDER BY 1";
const WITHOUT_ROW_SECURITY: &str = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
    AND relkind IN ('r', 'p') AND NOT relispartition AND NOT relrowsecurity AND relname <> '_sqlx_migrations'";
/// (table, column, type) of all tables.
const COLUMNS: &str = "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL) FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND c.relname <> '_sqlx_migrations' ORDER BY 1, a.attnum";

async fn texts(store: &Store, text: &str) -> Result<Vec<String>, sqlx::Error> {
    let text = text.to_owned();
    on_readers!(store, pool => sqlx::query_scalar(AssertSqlSafe(text)).fetch_all(pool).await)
}

/// A value of a column in the row of a ledger; one ledger's texts are all alike, so that its rows refer to each other.
fn value(table: &str, column: &str, data_type: &str, ledger: LedgerId) -> String {
    match (table, column, data_type) {
        ("invoice_state", "state", _) => "'issued'".to_owned(),
        ("tax_registration", "state", _) => "'requested'".to_owned(),
        (_, "posting", _) => "'issue'".to_owned(),
        ("journal_entry", "account", _) => "'cash'".to_owned(),
        (_, _, "text") => format!("'v{ledger}'"),
        (_, _, "bytea") => format!("'v{ledger}'::bytea"),
        (_, _, "uuid") => format!("md5('v{ledger}')::uuid"),
        _ => ledger.to_string(),
    }
}

/// Puts a row of each of two ledgers, 101 and 102, into every table that there is.
async fn fill(bench: &Bench) {
    let columns: Vec<(String, String, String)> =
        on_readers!(&bench.store, pool => sqlx::query_as(COLUMNS).fetch_all(pool).await).unwrap();
    let tables: BTreeSet<_> = columns.iter().map(|(table, ..)| table.clone()).collect();
    let mut admin = bench.admin().await;
    // No trigger and no reference is looked at.
    sqlx::query("SET session_replication_role = replica")
        .execute(&mut admin)
        .await
        .unwrap();
    for table in tables {
        for ledger in [101, 102] {
            let mine = columns.iter().filter(|(name, ..)| *name == table);
            let (names, values): (Vec<_>, Vec<_>) = mine
                .map(|(_, column, data_type)| (column.as_str(), value(&table, column, data_type, ledger)))
                .unzip();
            let text = format!(
                "INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE VALUES ({})",
                names.join(", "),
                values.join(", ")
            );
            sqlx::query(AssertSqlSafe(text))
                .execute(&mut admin)
                .await
                .expect(&table);
        }
    }
    admin.close().await.unwrap();
}

/// What an unfiltered query shows; `None` where it is refused.
async fn shown(store: &Store, relation: &str) -> Option<BTreeSet<String>> {
    match texts(store, &format!("SELECT to_jsonb(t)::text FROM {relation} t")).await {
        Ok(rows) => Some(rows.into_iter().collect()),
        Err(sqlx::Error::Database(error)) if error.code().unwrap() == "42501" => None,
        Err(error) => panic!("{relation}: {error}"),
    }
}

async fn check_that_nothing_of_others_is_seen(bench: &Bench) {
    fill(bench).await;
    let (stores, confinement) = TenantStores::open(bench.store.clone()).await.unwrap();
    assert!(
        matches!(confinement, Confinement::Confined { .. }),
        "{confinement:?}"
    );
    let (one, other, nobody) = (
        stores.of(101).await.unwrap(),
        stores.of(102).await.unwrap(),
        stores.of(103).await.unwrap(),
    );
    let mut closed = Vec::new();
    for relation in texts(&bench.store, RELATIONS).await.unwrap() {
        let all = shown(&bench.store, &relation).await.unwrap();
        assert!(all.len() >= 2, "{relation} has rows of both");
        let Some(mine) = shown(&one, &relation).await else {
            closed.push(relation);
            continue;
        };
        let theirs = shown(&other, &relation).await.unwrap();
        assert!(
            !mine.is_empty() && !theirs.is_empty(),
            "{relation}: its own rows are seen"
        );
        assert!(mine.is_disjoint(&theirs), "{relation}: {mine:?} and {theirs:?}");
        assert_eq!(shown(&nobody, &relation).await.unwrap().len(), 0, "{relation}");
    }
    assert_eq!(
        closed, CLOSED,
        "a table has a policy, or is said here to be closed to tenants"
    );
    let open = texts(&bench.store, WITHOUT_ROW_SECURITY).await.unwrap();
    assert!(open.is_empty(), "row level security is on: {open:?}");
    let wrong = texts(
        &one,
        "INSERT INTO portal_setting VALUES (101, 'a', 'b') RETURNING name",
    )
    .await;
    assert!(wrong.is_err(), "what reads does not write");
    stores.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_forgets_whose_rows_it_wants_sees_only_its_tenants_as_an_ordinary_owner() {
    let Some(bench) = Bench::postgres_of_ordinary_owner(true).await else {
        return;
    };
    check_that_nothing_of_others_is_seen(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_forgets_whose_rows_it_wants_sees_only_its_tenants_as_a_superuser_too() {
    let Some(bench) = Bench::postgres().await else {
        return;
    };
    check_that_nothing_of_others_is_seen(&bench).await;
    let (_, confinement) = TenantStores::open(bench.store.clone()).await.unwrap();
    assert!(
        matches!(confinement, Confinement::Confined { is_unbound: true, .. }),
        "it is said that the program's own role is bound by nothing: {confinement:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_role_may_not_be_made_or_taken_it_is_said_how_and_all_goes_on() {
    for has_role in [false, true] {
        let Some(bench) = Bench::postgres_of_ordinary_owner(false).await else {
            return;
        };
        if has_role {
            let (_, database) = bench.url.rsplit_once('/').unwrap();
            let text = format!("CREATE ROLE {database}_tenant NOLOGIN");
            sqlx::query(AssertSqlSafe(text))
                .execute(&mut bench.admin().await)
                .await
                .unwrap();
        }
        check_that_the_remedy_is_one(&bench).await;
    }
}

async fn check_that_the_remedy_is_one(bench: &Bench) {
    let acme = bench.register("acme").await.ledger;
    // So many that they go in by COPY, which row level security forbids to whom it binds.
    let many = (0..1_500).map(|turn| by_worker(&interaction("acme", &format!("t{turn}"))));
    bench.report(many.collect()).await;
    assert_eq!(bench.interactions("acme").await, count(1_500));
    let (stores, confinement) = TenantStores::open(bench.store.clone()).await.unwrap();
    let Confinement::Unconfined { remedy } = confinement else {
        panic!("{confinement:?}");
    };
    let read = stores
        .of(acme)
        .await
        .unwrap()
        .account_of_ledger(acme)
        .await
        .unwrap();
    assert!(read.is_some());
    let mut admin = bench.admin().await;
    sqlx::raw_sql(AssertSqlSafe(remedy))
        .execute(&mut admin)
        .await
        .unwrap();
    let (stores, confinement) = TenantStores::open(bench.store.clone()).await.unwrap();
    assert!(
        matches!(
            confinement,
            Confinement::Confined {
                is_unbound: false,
                ..
            }
        ),
        "{confinement:?}"
    );
    let read = stores.of(acme).await.unwrap().accounts().await.unwrap();
    assert_eq!(read.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_server_ended_are_given_up_unnoticed() {
    let Some(bench) = Bench::postgres().await else {
        return;
    };
    let acme = bench.register("acme").await.ledger;
    let (stores, _) = TenantStores::open(bench.store.clone()).await.unwrap();
    let store = stores.of(acme).await.unwrap();
    let reads = async || -> Result<usize, StoreError> { Ok(store.accounts().await?.len()) };
    let together = futures::future::join_all((0..8).map(|_| reads())).await;
    assert!(together.into_iter().all(|read| read.unwrap() == 1));
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let mut connection = PgConnection::connect(&bench.url).await.unwrap();
    sqlx::query(end).execute(&mut connection).await.unwrap();
    assert_eq!(reads().await.unwrap(), 1);
}
