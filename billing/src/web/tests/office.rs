//! The back office: who gets in, runs, reviews, plans, and answers to disputes.

use std::time::Duration;

use super::*;
use crate::bill::run::Standing;
use crate::store::{Dispute, Role, RunKind, Staff, StaffRole, StaffToken};

const FORM: &str = "kind=review&period=2026-10&draft=1:x&reason=because&tenant=acme&plan=x&token=x";

impl Bench {
    /// The same store behind the back office.
    async fn office(self) -> Self {
        let (writer, _) =
            UsageWriter::start(self.store.clone(), self.clock.clone(), Metrics::default()).unwrap();
        let (stores, _) = TenantStores::open(self.store.clone()).await.unwrap();
        let state = WebState::new(stores, self.clock.clone(), Arc::new(Counted::default()), writer);
        Self {
            routes: office_router(state),
            ..self
        }
    }

    /// A token "staff-NAME" of one of the provider's people, which lapses after a week.
    async fn staff(&self, name: &str, role: StaffRole) -> Staff {
        self.staff_until(name, role, "2026-11-19T00:00:00Z").await
    }

    async fn staff_until(&self, name: &str, role: StaffRole, until: &str) -> Staff {
        let token = StaffToken {
            id: name.to_owned(),
            name: name.to_owned(),
            role,
            created_by: String::new(),
            created_at: now(),
            expires_at: until.parse().unwrap(),
            revoked_at: None,
        };
        let digest = Digest::of(format!("staff-{name}").as_bytes());
        self.store.create_staff_token(&token, digest).await.unwrap();
        self.store.staff_of_token(digest, now()).await.unwrap().unwrap()
    }

    /// The session's cookie, after signing in.
    async fn office_session(&self, name: &str) -> String {
        let form = format!("token=staff-{name}");
        let (status, headers, page) = self.post("/office/sign-in", "", &form).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
        let cookie = headers["set-cookie"].to_str().unwrap();
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    }

    async fn look(&self, path: &str, cookie: &str) -> (StatusCode, String) {
        let (status, _, page) = self.get(path, &[("cookie", cookie)]).await;
        (status, page)
    }

    /// Begins a run and waits until it ended.
    async fn run_to_its_end(&self, cookie: &str, kind: &str, period: &str) -> Standing {
        let before = self.store.runs_of(period, 100).await.unwrap().len();
        let form = format!("kind={kind}&period={period}");
        let (status, _, page) = self.post("/office/runs", cookie, &form).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
        let ended = async {
            loop {
                let runs = self.store.runs_of(period, 100).await.unwrap();
                if runs.len() > before && runs[0].ended_at.is_some() {
                    return runs[0].standing(now());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ended)
            .await
            .unwrap()
    }
}

async fn office() -> (Bench, String) {
    let bench = bench().await.office().await;
    bench.staff("jo", StaffRole::Approver).await;
    let cookie = bench.office_session("jo").await;
    (bench, cookie)
}

/// All addresses, but those of signing in and what every page has.
fn addresses() -> Vec<String> {
    let all = crate::web::office::routes().into_iter().map(|(route, _)| route);
    let inside =
        all.filter(|route| *route != "/" && *route != "/office/sign-in" && *route != "/office/sign-out");
    inside
        .map(|route| {
            let filled = route.replace("{ledger}", "1").replace("{number}", BILL);
            filled.replace("{act}", "pay").replace("{name}", "standard")
        })
        .collect()
}

#[tokio::test]
async fn nobody_gets_into_the_back_office_without_a_token_of_its_own() {
    let bench = bench().await;
    let firm = bench.session().await;
    let bench = bench.office().await;
    let shut = async |cookie: &str| {
        for path in addresses() {
            for answer in [
                bench.get(&path, &[("cookie", cookie)]).await,
                bench.post(&path, cookie, FORM).await,
            ] {
                if answer.0 == StatusCode::METHOD_NOT_ALLOWED {
                    continue;
                }
                assert_eq!(answer.0, StatusCode::SEE_OTHER, "{path} with {cookie:?}");
                assert_eq!(answer.1["location"], "/office/sign-in", "{path}");
                assert!(!answer.2.contains("acme"), "{path}");
            }
        }
    };
    shut("").await;
    shut(&firm).await;
    shut(&firm.replace("springtide_session", "springtide_office")).await;
    for token in ["token-acme", "staff-nobody", ""] {
        let (status, headers, _) = bench.post("/office/sign-in", "", &format!("token={token}")).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{token}");
        assert!(!headers.contains_key("set-cookie"), "{token}");
    }

    bench.staff("jo", StaffRole::Approver).await;
    let cookie = bench.office_session("jo").await;
    for path in addresses() {
        let (status, _) = bench.look(&path, &cookie).await;
        assert_ne!(status, StatusCode::SEE_OTHER, "{path}");
    }
    // A token of the back office opens nothing of a client firm's.
    let portal = routes_on(&bench.store, &bench.clock, None).await;
    let portal = Bench {
        routes: portal,
        ..bench
    };
    let (status, _, _) = portal.sign_in("staff-jo", &[]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let bench = portal.office().await;
    assert!(bench.store.revoke_staff_token("jo", now()).await.unwrap());
    let (status, _) = bench.look("/office", &cookie).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "a session ends with its token");
    bench.staff("mo", StaffRole::Reader).await;
    let cookie = bench.office_session("mo").await;
    bench.clock.set("2026-11-19T00:00:00Z".parse().unwrap());
    let (status, _) = bench.look("/office", &cookie).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "and when that lapses");
}

#[tokio::test]
async fn a_reader_looks_and_changes_nothing() {
    let bench = bench().await.office().await;
    bench.staff("mo", StaffRole::Reader).await;
    let cookie = bench.office_session("mo").await;
    for path in addresses() {
        let (status, page) = bench.look(&path, &cookie).await;
        if status == StatusCode::METHOD_NOT_ALLOWED {
            continue;
        }
        let is_there = [StatusCode::OK, StatusCode::NOT_FOUND].contains(&status);
        assert!(is_there, "{path}: {status}");
        assert!(!page.contains("action=\"/office/runs\""), "{path}");
    }
    for path in [
        "/office/runs",
        "/office/reviews",
        "/office/bills/SPT-2026-000001/pay",
    ] {
        let (status, _, page) = bench.post(path, &cookie, FORM).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        assert!(page.contains("role approver"), "{page}");
    }
    assert_eq!(bench.store.runs_of("2026-10", 10).await.unwrap(), []);
    let states = bench.store.states(BILL).await.unwrap();
    assert_eq!(states.len(), 1);
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let (bench, cookie) = office().await;
    let request = Request::post("/office/runs")
        .header("cookie", &cookie)
        .header("sec-fetch-site", "cross-site")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(FORM));
    let (status, _, _) = bench.send(request.unwrap()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(bench.store.runs_of("2026-10", 10).await.unwrap(), []);
}

/// The digest of acme's draft, as the queue's form has it.
fn chosen(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"draft\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_draft_is_approved_as_it_was_looked_at_or_not_at_all() {
    let (bench, cookie) = office().await;
    bench.clock.set("2026-12-02T00:00:00Z".parse().unwrap());
    bench
        .staff_until("kim", StaffRole::Approver, "2026-12-19T00:00:00Z")
        .await;
    assert_eq!(bench.look("/office", &cookie).await.0, StatusCode::SEE_OTHER);
    let cookie = bench.office_session("kim").await;

    let Standing::Ended(summary) = bench.run_to_its_end(&cookie, "review", "2026-11").await else {
        panic!("it must end")
    };
    assert_eq!((summary.in_review, summary.issued, summary.refusals), (2, 0, 0));
    let (_, page) = bench.look("/office", &cookie).await;
    for said in ["Draw up drafts", "office: kim", "in review"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let (_, queue) = bench.look("/office/reviews?period=2026-11", &cookie).await;
    assert!(queue.contains("/office/reviews/1?period=2026-11"), "{queue}");
    let (status, draft) = bench.look("/office/reviews/1?period=2026-11", &cookie).await;
    assert_eq!(status, StatusCode::OK);
    assert!(draft.contains("&lt;answers&gt;"), "{draft}");
    assert!(!draft.contains("/portal/"), "{draft}");

    // More usage comes, and the draft is drawn up anew: what was looked at is not what would be issued.
    bench.store.ingest(&[answered("t99")], now()).await.unwrap();
    bench.run_to_its_end(&cookie, "review", "2026-11").await;
    let seen = chosen(&draft);
    let form = format!("period=2026-11&draft={seen}");
    let (status, _, page) = bench.post("/office/reviews", &cookie, &form).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("made anew since you looked at it"), "{page}");
    assert_eq!(bench.store.number_of_invoices().await.unwrap(), 1);

    let (_, draft) = bench.look("/office/reviews/1?period=2026-11", &cookie).await;
    let form = format!("period=2026-11&draft={}", chosen(&draft));
    let (_, _, page) = bench.post("/office/reviews", &cookie, &form).await;
    assert!(page.contains("/office/bills/SPT-2026-000002"), "{page}");
    let states = bench.store.states("SPT-2026-000002").await.unwrap();
    assert_eq!(
        (states[0].actor.as_str(), states[0].note.as_str()),
        ("office: kim", "approved")
    );
    let (_, _, page) = bench.post("/office/reviews", &cookie, "period=2026-11").await;
    assert!(page.contains("Choose at least one draft"), "{page}");
    let (status, _, _) = bench
        .post("/office/reviews", &cookie, "period=2026-11&draft=nonsense")
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_month_that_is_not_over_is_drawn_up_and_not_issued() {
    let (bench, cookie) = office().await;
    bench.run_to_its_end(&cookie, "review", "2026-11").await;
    let (_, draft) = bench.look("/office/reviews/1?period=2026-11", &cookie).await;
    let form = format!("period=2026-11&draft={}", chosen(&draft));
    let (_, _, page) = bench.post("/office/reviews", &cookie, &form).await;
    assert!(page.contains("Not issued"), "{page}");
    let Standing::Ended(summary) = bench.run_to_its_end(&cookie, "approve", "2026-11").await else {
        panic!("it must end")
    };
    assert_eq!(summary.issued, 0);
    assert_eq!(bench.store.number_of_invoices().await.unwrap(), 1);
}

#[tokio::test]
async fn what_has_nothing_striking_is_approved_at_once_and_the_rest_waits() {
    let bench = bench().await.office().await;
    bench
        .staff_until("jo", StaffRole::Approver, "2027-02-01T00:00:00Z")
        .await;
    let cookie_of = async || bench.office_session("jo").await;
    // acme uses as much in December as in November; other has no bill before, and no usage.
    let december: Timestamp = "2026-12-10T16:00:00Z".parse().unwrap();
    let usage: Vec<_> = (0..10)
        .map(|turn| answered_at(&format!("d{turn}"), december))
        .collect();
    bench.store.ingest(&usage, december).await.unwrap();
    bench.clock.set("2027-01-02T00:00:00Z".parse().unwrap());
    let account = bench.store.account_of_uid("uid-acme").await.unwrap().unwrap();
    let november = "2026-11".parse().unwrap();
    issue(&bench.store, &account, november, bench.clock.now())
        .await
        .unwrap();

    let cookie = cookie_of().await;
    bench.run_to_its_end(&cookie, "review", "2026-12").await;
    let (_, page) = bench.look("/office/reviews?period=2026-12", &cookie).await;
    let (acme, other) = (page.find(">acme<").unwrap(), page.find(">other<").unwrap());
    assert!(other < acme, "what is striking comes first");
    assert!(page.contains("Approve all with nothing striking (1)"), "{page}");
    let (_, page) = bench
        .look("/office/reviews?period=2026-12&only=striking", &cookie)
        .await;
    assert!(page.contains(">other<") && !page.contains(">acme<"), "{page}");
    let Standing::Ended(summary) = bench.run_to_its_end(&cookie, "approve", "2026-12").await else {
        panic!("it must end")
    };
    assert_eq!((summary.issued, summary.refusals), (1, 0));
    let (_, page) = bench.look("/office/reviews?period=2026-12", &cookie).await;
    assert!(page.contains(">other<") && !page.contains(">acme<"), "{page}");
    let billed = bench.store.billed_of("2026-12").await.unwrap();
    assert_eq!(billed.totals, [("CNY".to_owned(), 100)]);
}

#[tokio::test]
async fn a_second_run_of_a_month_waits_until_the_first_is_through_or_was_cut_off() {
    let (bench, cookie) = office().await;
    let id = bench
        .store
        .begin_run(RunKind::Review, "2026-09", "kim", now())
        .await
        .unwrap();
    bench.store.note_run(id, 40, 7, now()).await.unwrap();
    let form = "kind=review&period=2026-09";
    let (status, _, page) = bench.post("/office/runs", &cookie, form).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(page.contains("is under way") && page.contains("7 / 40"), "{page}");
    let later = now().saturating_add(jiff::SignedDuration::from_secs(31)).unwrap();
    bench.clock.set(later);
    let (_, page) = bench.look("/office?period=2026-09", &cookie).await;
    assert!(page.contains("cut off"), "{page}");
    bench.run_to_its_end(&cookie, "review", "2026-09").await;
}

#[tokio::test]
async fn a_plan_is_tried_without_changing_anything_and_what_is_wrong_is_named() {
    let (bench, cookie) = office().await;
    let (_, page) = bench.look("/office/plans", &cookie).await;
    assert!(page.contains("/office/plans/standard"), "{page}");
    let (_, page) = bench.look("/office/plans/standard", &cookie).await;
    assert!(page.contains("unitPrice"), "{page}");
    let form = |plan: &str| {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("tenant", "acme")
            .append_pair("period", "2026-11")
            .append_pair("plan", plan);
        form.finish()
    };
    let plan = |price: &str| {
        format!(
            "currency: CNY\ntimeZone: Asia/Shanghai\ncharges:\n  - {{name: <answers>, meter: interactions, model: PerUnit, unitPrice: \"{price}\"}}\n"
        )
    };
    let path = "/office/plans/standard";
    let (status, _, page) = bench.post(path, &cookie, &form(&plan("0.25"))).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(page.contains("1.00 CNY") && page.contains("2.50 CNY"), "{page}");
    for (plan, said) in [
        (plan("-1"), "unitPrice"),
        ("a: [".to_owned(), "line"),
        (String::new(), ""),
    ] {
        let (status, _, page) = bench.post(path, &cookie, &form(&plan)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{plan}");
        assert!(
            page.contains("role=\"alert\"") && page.contains(said),
            "{plan}: {page}"
        );
    }
    let (_, _, page) = bench
        .post(path, &cookie, &form(&plan("1")).replace("acme", "nobody"))
        .await;
    assert!(page.contains("No tenant of this name"), "{page}");
    let newest = bench.store.newest_plan("standard").await.unwrap().unwrap();
    assert_eq!(newest.generation, 1);
    let (status, _) = bench.look("/office/plans/none", &cookie).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_dispute_waits_until_somebody_answers_it_with_words_that_the_firm_reads() {
    let firm = bench().await;
    let session = firm.session_as(Role::Finance).await;
    let form = "line=&reason=Too+much";
    let (status, _, _) = firm
        .post(&format!("/portal/invoices/{BILL}/dispute"), &session, form)
        .await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let bench = firm.office().await;
    bench.staff("jo", StaffRole::Approver).await;
    let cookie = bench.office_session("jo").await;
    let open = bench.store.open_disputes(10).await.unwrap();
    let Dispute { number, reason, .. } = &open[0].dispute;
    assert_eq!(
        (open.len(), number.as_str(), reason.as_str()),
        (1, BILL, "Too much")
    );
    let (_, page) = bench.look("/office/disputes", &cookie).await;
    assert!(page.contains("Too much") && page.contains("acme"), "{page}");

    let path = format!("/office/bills/{BILL}/resolve");
    let (status, _, page) = bench.post(&path, &cookie, "reason=+").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(page.contains("Say why"), "{page}");
    bench
        .clock
        .set(now().saturating_add(jiff::SignedDuration::from_secs(60)).unwrap());
    let (status, _, _) = bench.post(&path, &cookie, "reason=It+is+right").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(bench.store.open_disputes(10).await.unwrap(), []);
    let (status, _, page) = bench.post(&path, &cookie, "reason=again").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(page.contains("cannot be done"), "{page}");
    for nobodys in ["SPT-2026-000777", "%0Aset-cookie:x"] {
        let nobodys = format!("/office/bills/{nobodys}/resolve");
        let (status, _, _) = bench.post(&nobodys, &cookie, "reason=x").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    let credit = path.replace("resolve", "credit");
    let (_, headers, _) = bench.post(&credit, &cookie, "reason=Goodwill").await;
    assert_eq!(headers["location"], "/office/bills/SPT-2026-000002");
    let (_, page) = bench.look(&format!("/office/bills/{BILL}"), &cookie).await;
    for said in ["It is right", "office: jo", "taken back"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let portal = routes_on(&bench.store, &bench.clock, None).await;
    let firm = Bench {
        routes: portal,
        ..bench
    };
    let (_, _, page) = firm.get("/portal/disputes", &[("cookie", &session)]).await;
    assert!(page.contains("It is right"), "{page}");
}

#[tokio::test]
async fn every_page_is_there_in_both_languages() {
    let (bench, cookie) = office().await;
    bench.run_to_its_end(&cookie, "review", "2026-09").await;
    for path in [
        "/office",
        "/office/reviews",
        "/office/disputes",
        "/office/plans",
        "/office/plans/standard",
        "/office/audit",
    ] {
        let (_, english) = bench.look(&format!("{path}?lang=en"), &cookie).await;
        let (_, chinese) = bench.look(&format!("{path}?lang=zh-CN"), &cookie).await;
        assert!(
            english.contains("<html lang=\"en\">") && english.contains("Springtide back office"),
            "{path}"
        );
        assert!(
            chinese.contains("<html lang=\"zh-CN\">") && chinese.contains("运营后台"),
            "{path}"
        );
    }
}
