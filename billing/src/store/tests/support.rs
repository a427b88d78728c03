//! A database of its own for each test, and short words for records.

use std::sync::Arc;

use jiff::Timestamp;
use springtide_proto::event::{Interaction, InteractionKind};
use springtide_proto::ids::{ConversationId, PoolId, TenantId, TenantUid, TurnId};
use springtide_proto::metering::{Delivery, Dimension, Record, UsageEvent, Witness};
use springtide_proto::time::timestamp_to_wire;
use springtide_runtime::identity::TenantRole;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::digest::Digest;
use crate::locale::Locale;
use crate::metering::examine::{Reporter, examine};
use crate::metering::report::{Examined, Party, Verdict};
use crate::metering::retention::KeptDays;
use crate::rating::number::Exact;
use crate::rating::period::{Bounds, Period, zone_named};
use crate::rating::plan::RatePlan;
use crate::rating::rate::{Line, Rule};
use crate::store::{Account, AccountDetails, PlanVersion, PutPlan, Registration, Store, on_readers};

/// Names an administrator's URL of a PostgreSQL server, as postgres://postgres@127.0.0.1:5432/postgres.
const POSTGRES: &str = "SPRINGTIDE_TEST_POSTGRES";

/// A store with what must outlive it.
pub(in crate::store) struct Bench {
    pub(in crate::store) store: Store,
    pub(in crate::store) url: String,
    /// If that is not an administrator's.
    admin_url: Option<String>,
    assumes: bool,
    _folder: Option<Arc<tempfile::TempDir>>,
}

impl Bench {
    pub(in crate::store) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/billing.db", folder.path().display());
        Self::open(url, Some(Arc::new(folder))).await
    }

    /// `None`, with a word about it, where no server is named; in CI that is a failure.
    pub(in crate::store) async fn postgres() -> Option<Self> {
        let Ok(admin) = std::env::var(POSTGRES) else {
            assert!(
                std::env::var("CI").is_err(),
                "{POSTGRES} must name a server in CI"
            );
            eprintln!("skipped: {POSTGRES} names no server");
            return None;
        };
        let name = format!("test_{}", uuid::Uuid::from_u128(random()).simple());
        let mut connection = PgConnection::connect(&admin).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        let (server, _) = admin.rsplit_once('/').unwrap();
        Some(Self::open(format!("{server}/{name}"), None).await)
    }

    /// On a PostgreSQL that supposes what is known of every batch.
    pub(in crate::store) async fn postgres_that_assumes() -> Option<Self> {
        let mut bench = Self::postgres().await?;
        bench.store = bench.store.assuming_from(1);
        bench.assumes = true;
        Some(bench)
    }

    /// On a database whose owner is no superuser and may make no roles; `is_prepared`: an administrator made the role for reads
    /// of tenants.
    pub(in crate::store) async fn postgres_of_ordinary_owner(is_prepared: bool) -> Option<Self> {
        let mut bench = Self::postgres().await?;
        bench.store.close().await;
        let (server, name) = bench.url.rsplit_once('/').unwrap();
        let mut texts = vec![
            format!("CREATE ROLE {name}_owner LOGIN"),
            format!("DROP DATABASE {name}"),
            format!("CREATE DATABASE {name} OWNER {name}_owner"),
        ];
        if is_prepared {
            texts.push(format!("CREATE ROLE {name}_tenant NOLOGIN"));
            texts.push(format!("GRANT {name}_tenant TO {name}_owner"));
        }
        let mut connection = PgConnection::connect(&format!("{server}/postgres"))
            .await
            .unwrap();
        for text in texts {
            sqlx::query(AssertSqlSafe(text))
                .execute(&mut connection)
                .await
                .unwrap();
        }
        let (scheme, address) = server.split_once("://").unwrap();
        let address = address.rsplit_once('@').map_or(address, |(_, address)| address);
        let owned = format!("{scheme}://{name}_owner@{address}/{name}");
        bench.admin_url = Some(bench.url.clone());
        bench.store = Store::connect(&owned, false).await.unwrap();
        bench.store.migrate().await.unwrap();
        bench.url = owned;
        Some(bench)
    }

    /// A superuser's connection to the same database.
    pub(in crate::store) async fn admin(&self) -> PgConnection {
        let url = self.admin_url.as_ref().unwrap_or(&self.url);
        PgConnection::connect(url).await.unwrap()
    }

    async fn open(url: String, folder: Option<Arc<tempfile::TempDir>>) -> Self {
        let store = Store::connect(&url, true).await.unwrap();
        store.migrate().await.unwrap();
        Self {
            store,
            url,
            admin_url: None,
            assumes: false,
            _folder: folder,
        }
    }

    /// The same database by other connections, as another process has them.
    pub(in crate::store) async fn again(&self) -> Store {
        let store = Store::connect(&self.url, false).await.unwrap();
        if self.assumes {
            store.assuming_from(1)
        } else {
            store
        }
    }

    /// Ends all connections to the database, and lets nobody connect.
    pub(in crate::store) async fn take_away(&self) {
        match &self.store {
            Store::Postgres(_) => {
                let name = self.allow_connections(false).await;
                let text = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
                let mut server = server().await;
                sqlx::query(text).bind(name).execute(&mut server).await.unwrap();
            }
            Store::Sqlite(_) => self.store.close().await,
        }
    }

    /// Undoes that; new connections.
    pub(in crate::store) async fn bring_back(&self) -> Store {
        if matches!(self.store, Store::Postgres(_)) {
            self.allow_connections(true).await;
        }
        self.again().await
    }

    /// To a database of PostgreSQL; its name.
    async fn allow_connections(&self, allowed: bool) -> String {
        let (_, name) = self.url.rsplit_once('/').unwrap();
        let text = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}");
        let mut server = server().await;
        sqlx::query(AssertSqlSafe(text))
            .execute(&mut server)
            .await
            .unwrap();
        name.to_owned()
    }

    pub(in crate::store) async fn report(&self, records: Vec<Examined>) -> Vec<Verdict> {
        self.store.ingest(&records, now()).await.unwrap()
    }

    pub(in crate::store) async fn register(&self, tenant: &str) -> Account {
        assert_eq!(
            self.store.register(&details(tenant), now()).await.unwrap(),
            Registration::Done
        );
        self.store.account_of_uid(&uid(tenant)).await.unwrap().unwrap()
    }

    /// An account with the plan of the contract, whose months are Shanghai's.
    pub(in crate::store) async fn account(&self, tenant: &str) -> Account {
        assert_eq!(
            self.store.put_plan(&plan(1, "0.10"), now()).await.unwrap(),
            PutPlan::Stored
        );
        self.register(tenant).await
    }

    /// An account since October, with a plan of its own.
    pub(in crate::store) async fn register_with_plan(&self, tenant: &str, spec: &str) {
        let plan = PlanVersion {
            name: tenant.to_owned(),
            uid: format!("plan-of-{tenant}"),
            generation: 1,
            spec: spec.to_owned(),
            digest: Digest::of(spec.as_bytes()),
        };
        let before = at("2026-10-01T00:00:00Z");
        assert_eq!(self.store.put_plan(&plan, before).await.unwrap(), PutPlan::Stored);
        let details = AccountDetails {
            rate_plan: tenant.to_owned(),
            ..details(tenant)
        };
        let registration = self.store.register(&details, before).await.unwrap();
        assert_eq!(registration, Registration::Done);
    }

    /// Sum of a meter over November, of all statements or of one.
    pub(in crate::store) async fn sum(&self, tenant: &str, meter: &str, statement: Option<i64>) -> Exact {
        let (ledger, _) = self.store.ledgers_named(tenant).await.unwrap()[0];
        let usage = self.store.usage(ledger, &november()).await.unwrap();
        let mine = usage.iter().filter(|landed| landed.usage.meter == meter);
        let mine = mine.filter(|landed| statement.is_none_or(|statement| landed.statement == statement));
        mine.into_iter().fold(Exact::ZERO, |sum, landed| {
            sum.plus(landed.usage.quantity).unwrap()
        })
    }

    pub(in crate::store) async fn interactions(&self, tenant: &str) -> Exact {
        self.sum(tenant, "interactions", None).await
    }
}

/// A superuser's connection to no test's database.
async fn server() -> PgConnection {
    PgConnection::connect(&std::env::var(POSTGRES).unwrap())
        .await
        .unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a name that no other test's database has"
)]
pub(in crate::store) fn random() -> u128 {
    uuid::Uuid::new_v4().as_u128()
}

pub(in crate::store) fn now() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

pub(in crate::store) fn november_period() -> Period {
    "2026-11".parse().unwrap()
}

pub(in crate::store) fn november() -> Bounds {
    november_period()
        .bounds(&zone_named("Asia/Shanghai").unwrap())
        .unwrap()
}

/// Q of a charge's line.
pub(in crate::store) fn counted_of(line: &Line) -> Exact {
    match &line.rule {
        Rule::Charge { counted, .. } => *counted,
        other => panic!("no charge: {other:?}"),
    }
}

pub(in crate::store) fn count(number: i128) -> Exact {
    Exact::new(number, 0)
}

pub(in crate::store) fn uid(tenant: &str) -> String {
    format!("uid-of-{tenant}")
}

pub(in crate::store) fn details(tenant: &str) -> AccountDetails {
    AccountDetails {
        party: Party {
            tenant_uid: TenantUid::parse(uid(tenant)).unwrap(),
            tenant: TenantId::parse(tenant).unwrap(),
        },
        display_name: "安可商城".into(),
        time_zone: "Asia/Shanghai".into(),
        rate_plan: "standard".into(),
        legal_name: "安可商城有限公司".into(),
        tax_id: "91310000".into(),
        billing_email: "finance@acme.example".into(),
        payment_days: 30,
        portal_token: Digest::of(format!("token of {tenant}").as_bytes()),
        locale: Locale::ZhCn,
        usage_kept: KeptDays::default(),
    }
}

pub(in crate::store) fn plan(generation: i64, unit_price: &str) -> PlanVersion {
    let spec = format!(
        r#"{{"charges":[{{"meter":"interactions","model":"PerUnit","name":"answers","unitPrice":"{unit_price}"}}],"currency":"CNY","timeZone":"Asia/Shanghai"}}"#
    );
    RatePlan::parse(&spec).unwrap();
    let digest = Digest::of(spec.as_bytes());
    PlanVersion {
        name: "standard".into(),
        uid: "plan-uid".into(),
        generation,
        spec,
        digest,
    }
}

pub(in crate::store) fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// An interaction of `tenant` on 11 November.
pub(in crate::store) fn interaction(tenant: &str, turn: &str) -> Interaction {
    Interaction {
        tenant: TenantId::parse(tenant).unwrap(),
        tenant_uid: TenantUid::parse(uid(tenant)).unwrap(),
        pool: PoolId::parse("web").unwrap(),
        conversation: ConversationId::parse("c1").unwrap(),
        turn: TurnId::parse(turn).unwrap(),
        channel: "web".into(),
        arrived_at: at("2026-11-11T00:00:00.5Z"),
        kind: InteractionKind::Answer,
        answer_id: None,
    }
}

pub(in crate::store) fn reported(
    event: Vec<u8>,
    tenant: &str,
    witness: Witness,
    delivery: Delivery,
    reporter: &str,
) -> Examined {
    let role = if witness == Witness::Worker {
        TenantRole::Worker
    } else {
        TenantRole::Gateway
    };
    let peer = Reporter {
        tenant: TenantId::parse(tenant).unwrap(),
        role: Some(role),
    };
    let record = Record {
        usage_event: event.into(),
        witness: witness.into(),
        delivery: delivery.into(),
        reporter: reporter.into(),
        boot_id: "boot-1".into(),
    };
    examine(record, &peer, now())
}

/// As its worker reports it.
pub(in crate::store) fn by_worker(interaction: &Interaction) -> Examined {
    reported(
        interaction.encode(),
        interaction.tenant.as_str(),
        Witness::Worker,
        Delivery::Unspecified,
        "worker-0",
    )
}

/// As its gateway reports it.
pub(in crate::store) fn by_gateway(interaction: &Interaction, delivery: Delivery) -> Examined {
    reported(
        interaction.encode(),
        interaction.tenant.as_str(),
        Witness::Gateway,
        delivery,
        "gateway-0",
    )
}

/// Some other usage of `tenant`.
pub(in crate::store) fn usage_event(tenant: &str, id: &str, quantity: &str) -> UsageEvent {
    UsageEvent {
        tenant_uid: uid(tenant),
        tenant: tenant.into(),
        source: "storage".into(),
        id: id.into(),
        meter: "handoffs".into(),
        quantity: quantity.into(),
        event_time: Some(timestamp_to_wire(at("2026-11-11T00:00:00Z"))),
        dimensions: vec![Dimension {
            key: "class".into(),
            value: "hot".into(),
        }],
        reversal_of: String::new(),
    }
}

/// The module voice was taken (1) or dropped (0).
pub(in crate::store) fn module_event(tenant: &str, id: &str, quantity: &str, time: &str) -> UsageEvent {
    UsageEvent {
        source: "modules".into(),
        meter: "modules".into(),
        event_time: Some(timestamp_to_wire(at(time))),
        dimensions: vec![Dimension {
            key: "module".into(),
            value: "voice".into(),
        }],
        ..usage_event(tenant, id, quantity)
    }
}

pub(in crate::store) fn by_anyone(event: &UsageEvent) -> Examined {
    use prost::Message as _;
    reported(
        event.encode_to_vec(),
        &event.tenant,
        Witness::Worker,
        Delivery::Unspecified,
        "worker-0",
    )
}

pub(in crate::store) async fn rows(store: &Store, text: &'static str) -> i64 {
    let (number,): (i64,) = on_readers!(store, pool => sqlx::query_as(text).fetch_one(pool).await).unwrap();
    number
}
