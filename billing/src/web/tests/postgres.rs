//! The same pages where the database keeps tenants apart.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::access::pages;
use super::*;
use crate::store::Confinement;

const POSTGRES: &str = "SPRINGTIDE_TEST_POSTGRES";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_and_route_shows_on_postgres_what_it_shows_on_sqlite() {
    let Ok(admin) = std::env::var(POSTGRES) else {
        assert!(
            std::env::var("CI").is_err(),
            "{POSTGRES} must name a server in CI"
        );
        eprintln!("skipped: {POSTGRES} names no server");
        return;
    };
    let name = format!("web_{}", std::process::id());
    let mut connection = PgConnection::connect(&admin).await.unwrap();
    for text in [
        format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        format!("CREATE DATABASE {name}"),
    ] {
        sqlx::query(AssertSqlSafe(text))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let (server, _) = admin.rsplit_once('/').unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::connect(&format!("{server}/{name}"), true).await.unwrap();
    let (there, here) = (bench_on(store, folder).await, bench().await);
    let (_, confinement) = TenantStores::open(there.store.clone()).await.unwrap();
    assert!(
        matches!(confinement, Confinement::Confined { .. }),
        "{confinement:?}"
    );
    let (cookie_there, cookie_here) = (there.session().await, here.session().await);
    for path in pages().iter().filter(|path| !path.contains("pdf")) {
        let (one, other) = (
            there.get(path, &[("cookie", &cookie_there)]).await,
            here.get(path, &[("cookie", &cookie_here)]).await,
        );
        assert_eq!((one.0, one.2), (other.0, other.2), "{path}");
    }
    for route in rest_addresses().iter().filter(|route| !route.contains("pdf")) {
        let path = format!("/api/v1/tenants/acme/{route}");
        let token = [("authorization", "Bearer token-acme")];
        let (one, other) = (there.get(&path, &token).await, here.get(&path, &token).await);
        assert_eq!((one.0, one.2), (other.0, other.2), "{path}");
    }
}
