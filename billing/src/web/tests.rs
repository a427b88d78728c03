//! REST and portal over a store of its own, one request after the other.

mod access;
mod dropped;
mod office;
mod openid_connect;
mod pages;
mod postgres;
mod satisfaction;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::Value;
use springtide_proto::event::{Interaction, InteractionKind};
use springtide_proto::ids::{ConversationId, PoolId, TenantId, TenantUid, TurnId};
use springtide_proto::metering::{Delivery, Record, Witness};
use springtide_runtime::clock::ManualClock;
use springtide_runtime::identity::TenantRole;
use tower::ServiceExt as _;

use super::*;
use crate::bill::issue;
use crate::digest::Digest;
use crate::locale::Locale;
use crate::metering::examine::{Reporter, examine};
use crate::metering::report::Party;
use crate::metering::retention::KeptDays;
use crate::metrics::Metrics;
use crate::store::{AccountDetails, PlanVersion, PutPlan, Store};

/// Each secret is another.
#[derive(Default)]
struct Counted(std::sync::atomic::AtomicU8);

impl Secrets for Counted {
    fn next(&self) -> Result<[u8; 32], ApiError> {
        Ok([self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed); 32])
    }
}

pub(super) struct Bench {
    routes: Router,
    clock: Arc<ManualClock>,
    pub(super) store: Store,
    _folder: tempfile::TempDir,
}

pub(super) fn now() -> Timestamp {
    "2026-11-12T00:00:00Z".parse().unwrap()
}

/// Two tenants, "acme" and "other", with tokens "token-acme" and "token-other"; acme has ten answers and one bill.
pub(super) async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::connect(&format!("sqlite://{}/billing.db", folder.path().display()), true)
        .await
        .unwrap();
    bench_on(store, folder).await
}

async fn bench_on(store: Store, folder: tempfile::TempDir) -> Bench {
    bench_of(store, folder, |_| None).await
}

async fn bench_of(
    store: Store,
    folder: tempfile::TempDir,
    openid_connect: impl FnOnce(Arc<ManualClock>) -> Option<OpenIdConnect>,
) -> Bench {
    store.migrate().await.unwrap();
    let spec = r#"{"charges":[{"meter":"interactions","model":"PerUnit","name":"<answers>","unitPrice":"0.10"}],"currency":"CNY","timeZone":"Asia/Shanghai"}"#;
    let digest = Digest::of(spec.as_bytes());
    let plan = PlanVersion {
        name: "standard".into(),
        uid: "u".into(),
        generation: 1,
        spec: spec.into(),
        digest,
    };
    store.put_plan(&plan, now()).await.unwrap();
    for tenant in ["acme", "other"] {
        store.register(&details(tenant), now()).await.unwrap();
    }
    let records: Vec<_> = (0..10).map(|turn| answered(&format!("t{turn}"))).collect();
    store.ingest(&records, now()).await.unwrap();
    let account = store.account_of_uid("uid-acme").await.unwrap().unwrap();
    issue(&store, &account, "2026-10".parse().unwrap(), now())
        .await
        .unwrap();
    let clock = Arc::new(ManualClock::new(now()));
    let routes = routes_on(&store, &clock, openid_connect(clock.clone())).await;
    Bench {
        routes,
        clock,
        store,
        _folder: folder,
    }
}

async fn routes_on(store: &Store, clock: &Arc<ManualClock>, openid_connect: Option<OpenIdConnect>) -> Router {
    let (writer, _) = UsageWriter::start(store.clone(), clock.clone(), Metrics::default()).unwrap();
    let (stores, _) = TenantStores::open(store.clone()).await.unwrap();
    let state = WebState::new(stores, clock.clone(), Arc::new(Counted::default()), writer);
    router(match openid_connect {
        Some(providers) => state.with_openid_connect(providers),
        None => state,
    })
}

fn details(tenant: &str) -> AccountDetails {
    let tenant_uid = TenantUid::parse(format!("uid-{tenant}")).unwrap();
    AccountDetails {
        party: Party {
            tenant_uid,
            tenant: TenantId::parse(tenant).unwrap(),
        },
        display_name: format!("<b>{tenant}</b>"),
        time_zone: "Asia/Shanghai".into(),
        rate_plan: "standard".into(),
        legal_name: "安可商城有限公司".into(),
        tax_id: String::new(),
        billing_email: String::new(),
        payment_days: 30,
        portal_token: Digest::of(format!("token-{tenant}").as_bytes()),
        locale: Locale::ZhCn,
        usage_kept: KeptDays::default(),
    }
}

fn answered(turn: &str) -> crate::metering::report::Examined {
    answered_at(turn, "2026-11-10T16:00:00Z".parse().unwrap())
}

fn answered_at(turn: &str, at: Timestamp) -> crate::metering::report::Examined {
    let event = Interaction {
        tenant: TenantId::parse("acme").unwrap(),
        tenant_uid: TenantUid::parse("uid-acme").unwrap(),
        pool: PoolId::parse("web").unwrap(),
        conversation: ConversationId::parse("c").unwrap(),
        turn: TurnId::parse(turn).unwrap(),
        channel: "web".into(),
        arrived_at: at,
        kind: InteractionKind::Answer,
        answer_id: None,
    };
    let record = Record {
        usage_event: event.encode().into(),
        witness: Witness::Gateway.into(),
        delivery: Delivery::Delivered.into(),
        reporter: "pod".into(),
        boot_id: "boot".into(),
    };
    examine(
        record,
        &Reporter {
            tenant: event.tenant,
            role: Some(TenantRole::Gateway),
        },
        at.max(now()),
    )
}

impl Bench {
    pub(super) async fn send(&self, request: Request<Body>) -> (StatusCode, header::HeaderMap, String) {
        let response: Response<Body> = self.routes.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (
            parts.status,
            parts.headers,
            String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (StatusCode, header::HeaderMap, String) {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| {
            request.header(*name, *value)
        });
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(super) async fn api(&self, path: &str, token: &str) -> (StatusCode, Value) {
        let (status, _, body) = self
            .get(path, &[("authorization", &format!("Bearer {token}"))])
            .await;
        (status, serde_json::from_str(&body).unwrap())
    }

    /// What a program hears, whether it reads there or posts.
    async fn rest(&self, path: &str, headers: &[(&str, &str)]) -> (StatusCode, header::HeaderMap, String) {
        let read = self.get(path, headers).await;
        if read.0 != StatusCode::METHOD_NOT_ALLOWED {
            return read;
        }
        let request = headers
            .iter()
            .fold(Request::post(path), |request, (name, value)| {
                request.header(*name, *value)
            });
        let request = request.header("content-type", "application/cloudevents+json");
        self.send(request.body(Body::from("{}")).unwrap()).await
    }

    async fn sign_in(
        &self,
        token: &str,
        headers: &[(&str, &str)],
    ) -> (StatusCode, header::HeaderMap, String) {
        let request = headers
            .iter()
            .fold(Request::post("/sign-in"), |request, (name, value)| {
                request.header(*name, *value)
            });
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(format!("token={token}"))).unwrap())
            .await
    }

    /// The session's cookie as a browser sends it back.
    async fn session(&self) -> String {
        let (status, headers, _) = self.sign_in("token-acme", &[]).await;
        assert_eq!(status, StatusCode::SEE_OTHER);
        headers["set-cookie"]
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    }
}

/// acme's bill.
const BILL: &str = "SPT-2026-000001";
/// What is nobody's.
const PUBLIC: [&str; 7] = [
    "/",
    "/sign-in",
    "/sign-in/openid-connect/{provider}",
    "/sign-in/openid-connect/{provider}/return",
    "/sign-out",
    "/assets/style.css",
    "/assets/live.js",
];

/// The addresses of a route, with what is acme's in the place of what it leaves open: every bill, token and file.
fn addresses_of(route: &str) -> Vec<String> {
    let mut files: Vec<_> = bills::Export::ALL.into_iter().map(|(name, _)| name).collect();
    if route.starts_with("/portal") {
        files.push(bills::INTERACTIONS);
    }
    let Some((before, rest)) = route.split_once('{') else {
        return vec![route.to_owned()];
    };
    let (name, after) = rest.split_once('}').unwrap();
    let values = match name {
        "tenant" => vec!["acme"],
        "number" => vec![BILL],
        "id" => vec!["viewer"],
        "name" => files,
        other => panic!("say here what stands for {{{other}}} in {route}"),
    };
    let filled = values.into_iter().map(|value| format!("{before}{value}{after}"));
    filled.flat_map(|address| addresses_of(&address)).collect()
}

/// What the router itself has for programs of one tenant, behind the tenant's name.
fn rest_addresses() -> Vec<String> {
    let all = routes().into_iter().map(|(route, _)| route);
    let rest = all.filter(|route| route.starts_with("/api/"));
    let addresses = rest.flat_map(addresses_of);
    addresses
        .map(|address| address.strip_prefix("/api/v1/tenants/acme/").unwrap().to_owned())
        .collect()
}

/// What the router itself has for people who are signed in.
fn portal_addresses() -> Vec<String> {
    let all = routes().into_iter().map(|(route, _)| route);
    let portal = all.filter(|route| !route.starts_with("/api/") && !PUBLIC.contains(route));
    let mut addresses: Vec<_> = portal.flat_map(addresses_of).collect();
    addresses.push(format!("/portal/invoices/{BILL}.pdf"));
    addresses
}

#[test]
fn every_route_is_of_one_tenant_or_said_to_be_nobodys() {
    for (route, _) in routes() {
        let is_of_one = route.starts_with("/api/v1/tenants/{tenant}/")
            || route == "/portal"
            || route.starts_with("/portal/");
        assert!(
            is_of_one || PUBLIC.contains(&route),
            "{route} is walked by no test"
        );
    }
    for route in [
        "usage",
        "exports/minutes.csv",
        "exports/plan.json",
        "invoices/SPT-2026-000001/pdf",
    ] {
        assert!(rest_addresses().contains(&route.to_owned()), "{route}");
    }
    for route in ["/portal/exports/plan.json", "/portal/access/tokens/viewer/revoke"] {
        assert!(portal_addresses().contains(&route.to_owned()), "{route}");
    }
}

#[tokio::test]
async fn a_token_opens_its_own_tenant_alone_and_says_nothing_of_others() {
    let bench = bench().await;
    for route in rest_addresses() {
        let path = |tenant: &str| format!("/api/v1/tenants/{tenant}/{route}");
        let (status, _, _) = bench
            .rest(&path("acme"), &[("authorization", "Bearer token-acme")])
            .await;
        assert_eq!(status, StatusCode::OK, "{route}");
        let other = [("authorization", "Bearer token-other")];
        let (existing, absent) = (
            bench.rest(&path("acme"), &other).await,
            bench.rest(&path("nobody"), &other).await,
        );
        assert_eq!(existing.0, StatusCode::NOT_FOUND, "{route}");
        assert_eq!(existing, absent, "{route}");
        for headers in [
            vec![],
            vec![("authorization", "Bearer wrong")],
            vec![("authorization", "Basic token-acme")],
        ] {
            let (existing, absent) = (
                bench.rest(&path("acme"), &headers).await,
                bench.rest(&path("nobody"), &headers).await,
            );
            assert_eq!(existing.0, StatusCode::UNAUTHORIZED, "{route}");
            assert_eq!(existing, absent, "{route} {headers:?}");
        }
    }
}

#[tokio::test]
async fn usage_and_preview_and_bills_are_json_with_decimal_strings() {
    let bench = bench().await;
    let (_, usage) = bench
        .api("/api/v1/tenants/acme/usage?period=2026-11", "token-acme")
        .await;
    assert_eq!(
        usage["meters"][0],
        serde_json::json!({"meter": "interactions", "quantity": "10", "late": "0"})
    );
    assert_eq!(
        usage["days"][10],
        serde_json::json!({"date": "2026-11-11", "quantities": {"interactions": "10"}})
    );
    assert_eq!(
        (&usage["timeZone"], &usage["invoice"]),
        (&"Asia/Shanghai".into(), &Value::Null)
    );
    let (_, preview) = bench.api("/api/v1/tenants/acme/preview", "token-acme").await;
    assert_eq!(
        (&preview["period"], &preview["total"], &preview["state"]),
        (&"2026-11".into(), &"1.00".into(), &"draft".into())
    );
    let (_, bills) = bench.api("/api/v1/tenants/acme/invoices", "token-acme").await;
    assert_eq!(bills["invoices"][0]["number"], "SPT-2026-000001");
    let (_, bill) = bench
        .api("/api/v1/tenants/acme/invoices/SPT-2026-000001", "token-acme")
        .await;
    assert_eq!(
        (&bill["period"], &bill["total"]),
        (&"2026-10".into(), &"0.00".into())
    );
    let (status, none) = bench
        .api("/api/v1/tenants/acme/invoices/SPT-2026-000002", "token-acme")
        .await;
    assert_eq!(
        (status, &none["error"]["reason"]),
        (StatusCode::NOT_FOUND, &"NOT_FOUND".into())
    );
    let (status, wrong) = bench
        .api("/api/v1/tenants/acme/usage?period=November", "token-acme")
        .await;
    assert_eq!(
        (status, &wrong["error"]["field"]),
        (StatusCode::BAD_REQUEST, &"period".into())
    );
}

#[tokio::test]
async fn interactions_are_streamed_as_json_lines() {
    let bench = bench().await;
    let path = "/api/v1/tenants/acme/interactions?period=2026-11";
    let (status, headers, body) = bench.get(path, &[("authorization", "Bearer token-acme")]).await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (StatusCode::OK, "application/x-ndjson; charset=utf-8")
    );
    assert_eq!(body.lines().count(), 10);
    let mut lines: Vec<Value> = body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    lines.sort_by_key(|line| line["turn"].to_string());
    assert_eq!(
        (&lines[0]["turn"], &lines[0]["witnesses"]),
        (&"t0".into(), &serde_json::json!(["gateway"]))
    );
}

#[tokio::test]
async fn signing_in_opens_a_session_that_scripts_and_other_sites_cannot_use() {
    let bench = bench().await;
    let (_, headers, _) = bench
        .sign_in("token-acme", &[("x-forwarded-proto", "https")])
        .await;
    let cookie = headers["set-cookie"].to_str().unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Secure"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let secret = cookie.split(['=', ';']).nth(1).unwrap();
    assert_eq!(
        bench
            .store
            .session(Digest::of(secret.as_bytes()), now())
            .await
            .unwrap(),
        Some((1, crate::store::Holder::of_account())),
        "kept as a digest"
    );
    let cookie = bench.session_of(cookie);
    let (status, _, page) = bench.get("/portal", &[("cookie", &cookie)]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.contains("&lt;b&gt;acme&lt;/b&gt;") && !page.contains("<b>acme"),
        "what is shown is escaped"
    );
    let request = Request::post("/sign-out")
        .header("cookie", &cookie)
        .body(Body::empty())
        .unwrap();
    assert_eq!(bench.send(request).await.0, StatusCode::SEE_OTHER);
    let (status, headers, _) = bench.get("/portal", &[("cookie", &cookie)]).await;
    assert_eq!(
        (status, headers["location"].to_str().unwrap()),
        (StatusCode::SEE_OTHER, "/")
    );
}

impl Bench {
    #[expect(clippy::unused_self, reason = "reads as a browser's step")]
    fn session_of(&self, set_cookie: &str) -> String {
        set_cookie.split(';').next().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_wrong_token_or_a_form_of_another_site_opens_nothing() {
    let bench = bench().await;
    let (status, headers, page) = bench.sign_in("wrong", &[("accept-language", "en")]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(!headers.contains_key("set-cookie") && page.contains("This token is not known"));
    for forged in [
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("origin", "https://evil.example"), ("host", "billing.example")],
        vec![("origin", "null"), ("host", "billing.example")],
    ] {
        let (status, headers, _) = bench.sign_in("token-acme", &forged).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{forged:?}");
        assert!(!headers.contains_key("set-cookie"));
    }
    let own = [("origin", "https://billing.example"), ("host", "billing.example")];
    assert_eq!(bench.sign_in("token-acme", &own).await.0, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn the_portal_speaks_the_language_that_was_chosen_or_is_preferred() {
    let bench = bench().await;
    let cookie = bench.session().await;
    let (_, _, chinese) = bench
        .get(
            "/portal",
            &[("cookie", &cookie), ("accept-language", "zh-CN,en;q=0.5")],
        )
        .await;
    assert!(chinese.contains(r#"<html lang="zh-CN">"#) && chinese.contains("本期至今费用"));
    let (_, headers, english) = bench
        .get(
            "/portal?lang=en",
            &[("cookie", &cookie), ("accept-language", "zh-CN")],
        )
        .await;
    assert!(english.contains("Money so far"));
    let language = bench.session_of(headers["set-cookie"].to_str().unwrap());
    let both = format!("{cookie}; {language}");
    let (_, _, kept) = bench
        .get("/portal", &[("cookie", &both), ("accept-language", "zh-CN")])
        .await;
    assert!(kept.contains("Money so far"), "the choice is kept");
    let (_, _, bill) = bench
        .get("/portal/invoices/SPT-2026-000001?lang=en", &[("cookie", &cookie)])
        .await;
    assert!(
        bill.contains("Nothing is left to be priced"),
        "a Chinese bill is explained in English too"
    );
}

#[tokio::test]
async fn no_page_loads_anything_from_elsewhere_or_runs_a_script_but_our_own() {
    let bench = bench().await;
    let cookie = bench.session().await;
    for path in [
        "/",
        "/portal",
        "/portal?period=2026-11&day=2026-11-11",
        "/portal/invoices/SPT-2026-000001",
        "/portal/invoices/x",
        "/portal/interactions?period=2026-11",
        "/portal/service",
        "/portal/savings",
        "/portal/budget",
        "/portal/disputes",
        "/portal/access",
        "/nothing",
    ] {
        let (_, headers, page) = bench.get(path, &[("cookie", &cookie)]).await;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        for forbidden in [
            "http://", "https://", "style=", "onclick", "onsubmit", "<iframe", "<img",
        ] {
            assert!(!page.contains(forbidden), "{path} contains {forbidden}");
        }
        let own = r#"<script src="/assets/live.js" defer></script>"#;
        assert_eq!(
            page.matches("<script").count(),
            page.matches(own).count(),
            "{path}"
        );
    }
    let (_, headers, script) = bench.get("/assets/live.js", &[]).await;
    assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
    assert!(script.len() < 4096, "{} bytes", script.len());
    let (status, headers, _) = bench.get("/assets/style.css", &[]).await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (StatusCode::OK, "text/css; charset=utf-8")
    );
}

#[tokio::test]
async fn another_tenants_bill_is_not_found_in_the_portal() {
    let bench = bench().await;
    let (_, headers, _) = bench.sign_in("token-other", &[]).await;
    let cookie = bench.session_of(headers["set-cookie"].to_str().unwrap());
    let (status, _, _) = bench
        .get("/portal/invoices/SPT-2026-000001", &[("cookie", &cookie)])
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
