//! Who may see and do what: other tenants, roles, the audit, allowances.

use super::*;
use crate::store::{Holder, NewToken, Role};

/// A number that no bill has.
const NO_BILL: &str = "SPT-2026-000777";
/// What any form of the portal asks for.
const FORM: &str = "amount=1&thresholds=1&price=1&name=a&role=viewer&days=1&line=&reason=x&conversations=c";

/// Each address for people, of acme's bill where one is named, of its month, and of a line.
pub(super) fn pages() -> Vec<String> {
    let all = portal_addresses().into_iter();
    all.flat_map(|address| {
        [
            format!("{address}?period=2026-11"),
            format!("{address}?period=2026-11&line=0"),
            format!("{address}?number={BILL}"),
            address,
        ]
    })
    .collect()
}

impl Bench {
    pub(super) async fn post(
        &self,
        path: &str,
        cookie: &str,
        form: &str,
    ) -> (StatusCode, header::HeaderMap, String) {
        let request = Request::post(path)
            .header("cookie", cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()));
        self.send(request.unwrap()).await
    }

    /// A session of a token of acme with that role.
    pub(super) async fn session_as(&self, role: Role) -> String {
        let token = format!("token-{}", role.name());
        let new = NewToken {
            id: role.name(),
            digest: Digest::of(token.as_bytes()),
            name: role.name(),
            role,
            created_by: "",
            expires_at: "2026-12-12T00:00:00Z".parse().unwrap(),
        };
        self.store.create_token(1, &new, now()).await.unwrap();
        let secret = format!("secret-{}", role.name());
        let holder = Holder {
            token: role.name().into(),
            provider: String::new(),
            name: role.name().into(),
            role,
        };
        let until = "2026-12-11T00:00:00Z".parse().unwrap();
        let digest = Digest::of(secret.as_bytes());
        self.store
            .open_session(digest, 1, &holder, now(), until)
            .await
            .unwrap();
        format!("springtide_session={secret}")
    }
}

#[tokio::test]
async fn another_tenants_token_is_told_of_everything_what_it_is_told_of_what_is_not_there() {
    let bench = bench().await;
    let other = [("authorization", "Bearer token-other")];
    for route in rest_addresses() {
        let there = bench.rest(&format!("/api/v1/tenants/acme/{route}"), &other).await;
        let absent = bench
            .rest(&format!("/api/v1/tenants/nobody/{route}"), &other)
            .await;
        assert_eq!(there.0, StatusCode::NOT_FOUND, "{route}");
        assert_eq!(there, absent, "{route}");
        // Its own tenant has no such bill either.
        if route.starts_with("invoices/") {
            let own = bench.get(&format!("/api/v1/tenants/other/{route}"), &other).await;
            assert_eq!(own, there, "{route}");
        }
    }
    let (_, headers, _) = bench.sign_in("token-other", &[]).await;
    let cookie = bench.session_of(headers["set-cookie"].to_str().unwrap());
    let _acme = bench.session_as(Role::Viewer).await;
    for path in pages() {
        let ask = async |path: &str| {
            [
                bench.get(path, &[("cookie", &cookie)]).await,
                bench.post(path, &cookie, FORM).await,
            ]
        };
        let there = ask(&path).await;
        for (_, _, page) in &there {
            for secret in ["acme", "SPT-2026-000001</", "<td><code>c</code>"] {
                assert!(!page.contains(secret), "{path} shows {secret} to another tenant");
            }
        }
        // Of a bill or token that is named: as one that is not there.
        let absent = path.replace(BILL, NO_BILL).replace("/viewer/", "/none/");
        if absent == path || path.contains('?') && !reads_a_number(&path) {
            continue;
        }
        // Links to other languages have the number that was asked for.
        let there = there.map(|(status, headers, page)| (status, headers, page.replace(BILL, NO_BILL)));
        let absent = ask(&absent).await;
        for (there, absent) in there.iter().zip(&absent) {
            let is_hidden = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(&there.0);
            assert!(is_hidden && there == absent, "{path}: {there:?} and {absent:?}");
        }
        assert!(
            there.iter().any(|(status, ..)| *status == StatusCode::NOT_FOUND),
            "{path}"
        );
    }
    assert!(bench.store.disputes(1).await.unwrap().is_empty());
    let tokens = bench.store.tokens(1).await.unwrap();
    assert!(tokens.len() == 1 && tokens[0].revoked_at.is_none());
}

/// What is asked of it by `?number=` is of that bill.
fn reads_a_number(path: &str) -> bool {
    ["/portal/exports/", "/portal/interactions?"]
        .iter()
        .any(|begins| path.starts_with(begins))
}

#[tokio::test]
async fn who_is_not_signed_in_is_sent_to_sign_in_from_every_page() {
    let bench = bench().await;
    for path in pages() {
        let mut led = 0;
        for (status, headers, page) in [bench.get(&path, &[]).await, bench.post(&path, "", FORM).await] {
            assert!(page.is_empty(), "{path}");
            if status != StatusCode::METHOD_NOT_ALLOWED {
                assert_eq!(
                    (status, headers["location"].to_str().unwrap()),
                    (StatusCode::SEE_OTHER, "/"),
                    "{path}"
                );
                led += 1;
            }
        }
        assert!(led > 0, "{path}");
    }
    assert!(bench.store.settings(1).await.unwrap().is_empty());
    assert!(
        bench.store.tokens(1).await.unwrap().is_empty() && bench.store.disputes(1).await.unwrap().is_empty()
    );
}

#[tokio::test]
async fn a_role_may_do_what_it_is_for_and_no_more() {
    let bench = bench().await;
    let changes = [
        ("/portal/budget", "amount=100&thresholds=50", Role::Finance),
        ("/portal/savings/price", "price=4", Role::Finance),
        (
            "/portal/invoices/SPT-2026-000001/dispute",
            "line=&reason=too+much",
            Role::Finance,
        ),
        ("/portal/access/tokens", "name=a&role=viewer&days=9", Role::Admin),
    ];
    for role in Role::ALL {
        let cookie = bench.session_as(role).await;
        for path in pages().iter().filter(|path| !path.starts_with("/portal/access")) {
            let (status, _, _) = bench.get(path, &[("cookie", &cookie)]).await;
            let is_a_form = status == StatusCode::METHOD_NOT_ALLOWED;
            assert!(
                is_a_form || status == StatusCode::OK,
                "{path} as {role:?}: {status}"
            );
        }
        let (status, _, _) = bench.get("/portal/access", &[("cookie", &cookie)]).await;
        assert_eq!(status == StatusCode::OK, role == Role::Admin, "{role:?}");
        for (path, form, needed) in changes {
            let before = bench.store.audit(1, 1000).await.unwrap().len();
            let (status, _, _) = bench.post(path, &cookie, form).await;
            assert_eq!(
                status == StatusCode::FORBIDDEN,
                role < needed,
                "{path} as {role:?}: {status}"
            );
            let noted = bench.store.audit(1, 1000).await.unwrap().len() - before;
            assert_eq!(noted, usize::from(role >= needed), "{path} as {role:?}");
        }
    }
    let disputes = bench.store.disputes(1).await.unwrap();
    assert_eq!(disputes.len(), 2);
    assert_eq!(
        (disputes[1].reason.as_str(), disputes[1].opened_by.as_str()),
        ("too much", "finance")
    );
}

#[tokio::test]
async fn an_administrator_erases_a_customer_after_seeing_what_there_is() {
    let bench = bench().await;
    // The turns of the bench are of the conversation "c".
    let form = "conversations=c%0D%0A";
    for role in [Role::Viewer, Role::Finance] {
        let cookie = bench.session_as(role).await;
        let (status, ..) = bench.post("/portal/access/erase", &cookie, form).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{role:?}");
    }
    let cookie = format!("{}; springtide_lang=en", bench.session_as(Role::Admin).await);
    let named = async || {
        let token = [("authorization", "Bearer token-acme")];
        let (_, _, lines) = bench.get("/api/v1/tenants/acme/interactions", &token).await;
        lines.matches("\"conversation\":\"c\"").count()
    };
    let (status, _, page) = bench.post("/portal/access/erase", &cookie, form).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.contains("Interactions: 10") && page.contains("Erase it for ever"),
        "{page}"
    );
    assert_eq!(named().await, 10, "nothing was changed yet");
    let (status, _, page) = bench
        .post("/portal/access/erase", &cookie, &format!("{form}&confirm=yes"))
        .await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.contains("Interactions: 10") && !page.contains("Erase it for ever"),
        "{page}"
    );
    assert_eq!(named().await, 0);
    let audit = bench.store.audit(1, 100).await.unwrap();
    let noted: Vec<_> = audit
        .iter()
        .filter(|entry| entry.action == "erase customer")
        .collect();
    assert_eq!(noted.len(), 1);
    assert_eq!(
        (noted[0].actor.as_str(), noted[0].role.as_str()),
        ("admin", "admin")
    );
    let (status, ..) = bench
        .post("/portal/access/erase", &cookie, "conversations=")
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let bench = bench().await;
    let cookie = bench.session().await;
    for path in [
        "/portal/budget",
        "/portal/savings/price",
        "/portal/access/tokens",
        "/portal/invoices/SPT-2026-000001/dispute",
    ] {
        let form = "amount=1&thresholds=1&price=1&name=a&role=admin&days=1&line=&reason=x";
        let request = Request::post(path)
            .header("cookie", &cookie)
            .header("sec-fetch-site", "cross-site")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form));
        let (status, _, _) = bench.send(request.unwrap()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    }
    assert!(
        bench.store.settings(1).await.unwrap().is_empty() && bench.store.tokens(1).await.unwrap().is_empty()
    );
}

#[tokio::test]
async fn a_token_is_shown_once_opens_what_its_role_may_and_ends_when_it_is_revoked_or_lapses() {
    let bench = bench().await;
    let cookie = bench.session().await;
    let (status, _, page) = bench
        .post(
            "/portal/access/tokens",
            &cookie,
            "name=CI+%3Cb%3E&role=viewer&days=9",
        )
        .await;
    assert_eq!(status, StatusCode::OK);
    let token = page.split("sptk_").nth(1).unwrap().split('<').next().unwrap();
    let token = format!("sptk_{token}");
    assert!(page.contains("CI &lt;b&gt;"));
    let (_, _, again) = bench.get("/portal/access", &[("cookie", &cookie)]).await;
    assert!(!again.contains("sptk_"), "shown once");
    let (status, _) = bench.api("/api/v1/tenants/acme/usage", &token).await;
    assert_eq!(status, StatusCode::OK);
    let kept = bench.store.tokens(1).await.unwrap().remove(0);
    assert_eq!(kept.last_used_at, Some(now()));
    let (_, headers, _) = bench.sign_in(&token, &[]).await;
    let own = bench.session_of(headers["set-cookie"].to_str().unwrap());
    assert_eq!(bench.get("/portal", &[("cookie", &own)]).await.0, StatusCode::OK);
    let (status, _, _) = bench
        .post(&format!("/portal/access/tokens/{}/revoke", kept.id), &cookie, "")
        .await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(
        bench.get("/portal", &[("cookie", &own)]).await.0,
        StatusCode::SEE_OTHER,
        "its session ended"
    );
    assert_eq!(
        bench.api("/api/v1/tenants/acme/usage", &token).await.0,
        StatusCode::UNAUTHORIZED
    );
    let viewer = bench.session_as(Role::Viewer).await;
    let digest = Digest::of(b"token-viewer");
    let later = "2026-12-12T00:00:00Z".parse().unwrap();
    assert!(
        bench
            .store
            .holder_of_token(digest, now())
            .await
            .unwrap()
            .is_some(),
        "{viewer}"
    );
    assert_eq!(
        bench.store.holder_of_token(digest, later).await.unwrap(),
        None,
        "lapsed"
    );
    for wrong in [
        "name=&role=viewer&days=9",
        "name=a&role=root&days=9",
        "name=a&role=viewer&days=0",
        "name=a&role=viewer&days=999",
    ] {
        let (status, _, _) = bench.post("/portal/access/tokens", &cookie, wrong).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn reading_interactions_and_exporting_is_noted_with_who_did_it() {
    let bench = bench().await;
    let viewer = bench.session_as(Role::Viewer).await;
    for path in [
        "/portal/interactions?period=2026-11",
        "/portal/exports/interactions.jsonl?period=2026-11",
        "/portal/exports/usage.csv?period=2026-11",
        "/portal/invoices/SPT-2026-000001.pdf",
    ] {
        assert_eq!(
            bench.get(path, &[("cookie", &viewer)]).await.0,
            StatusCode::OK,
            "{path}"
        );
    }
    bench
        .get(
            "/api/v1/tenants/acme/interactions",
            &[("authorization", "Bearer token-acme")],
        )
        .await;
    let mut actions: Vec<_> = bench
        .store
        .audit(1, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| (entry.actor, entry.role, entry.action, entry.object))
        .collect();
    actions.sort();
    let noted = |actor: &str, role: &str, action: &str, object: &str| {
        (
            actor.to_owned(),
            role.to_owned(),
            action.to_owned(),
            object.to_owned(),
        )
    };
    assert_eq!(
        actions,
        [
            noted("", "admin", "export interactions", "2026-11"),
            noted("viewer", "viewer", "export bill", "SPT-2026-000001"),
            noted("viewer", "viewer", "export interactions", "2026-11"),
            noted("viewer", "viewer", "export usage", "2026-11"),
            noted("viewer", "viewer", "read interactions", "2026-11"),
        ]
    );
}

#[tokio::test]
async fn who_asks_too_often_hears_when_to_come_back_and_others_do_not() {
    let bench = bench().await;
    let asked = async |token: &str| {
        let headers = [
            ("authorization", token),
            ("x-forwarded-for", "9.9.9.9, 192.0.2.7"),
        ];
        bench.get("/api/v1/tenants/acme/invoices", &headers).await
    };
    let mut refused = None;
    for _ in 0..400 {
        let (status, headers, _) = asked("Bearer token-acme").await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(headers);
            break;
        }
        assert_eq!(status, StatusCode::OK);
    }
    let seconds: u64 = refused.unwrap()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds));
    assert_eq!(
        asked("Bearer token-other").await.0,
        StatusCode::NOT_FOUND,
        "another token has its own allowance"
    );
    // Guessing tokens wears out the address.
    let mut statuses = std::collections::BTreeSet::new();
    for attempt in 0..30 {
        let (status, _, _) = bench
            .sign_in(&format!("guess-{attempt}"), &[("x-forwarded-for", "192.0.2.8")])
            .await;
        statuses.insert(status.as_u16());
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [401, 429]);
    assert_eq!(
        bench
            .sign_in("token-acme", &[("x-forwarded-for", "192.0.2.9")])
            .await
            .0,
        StatusCode::SEE_OTHER
    );
}
