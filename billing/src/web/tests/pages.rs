//! What pages show: drill-down, budgets, savings, forecast, service.

use super::*;
use crate::bill::issue::Issuer;
use crate::bill::notes::{act, correct, credit_invoice};
use crate::bill::state::{Act, TaxState};
use crate::store::TaxRegistration;

const JO: Issuer<'static> = Issuer {
    actor: "jo",
    note: "paid twice by mistake",
    now: Timestamp::UNIX_EPOCH,
};

impl Bench {
    async fn acme(&self) -> crate::store::Account {
        self.store.account_of_uid("uid-acme").await.unwrap().unwrap()
    }

    /// acme's November with a bill of ten answers, and a note on the eleventh: their numbers.
    async fn bill_and_debit_note(&self) -> [String; 2] {
        let (account, november) = (self.acme().await, "2026-11".parse().unwrap());
        let (bill, _) = issue(&self.store, &account, november, now()).await.unwrap();
        self.store.ingest(&[answered("late")], now()).await.unwrap();
        let issuer = Issuer { now: now(), ..JO };
        let note = correct(&self.store, &account, november, issuer)
            .await
            .unwrap()
            .unwrap();
        [bill.number.unwrap(), note.number.unwrap()]
    }

    async fn page(&self, session: &str, path: &str, language: &str) -> String {
        let cookie = format!("{session}; springtide_lang={language}");
        let (status, _, page) = self.get(path, &[("cookie", &cookie)]).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        page
    }
}

fn fact(name: &str, value: &str) -> String {
    format!("<dt>{name}</dt><dd>{value}</dd>")
}

#[tokio::test]
async fn a_note_is_shown_as_one_with_its_bill_its_reason_and_each_line_from_what_to_what() {
    let bench = bench().await;
    let cookie = bench.session().await;
    let [bill, debit] = bench.bill_and_debit_note().await;
    let account = bench.acme().await;
    let stored = bench
        .store
        .invoice_numbered(account.ledger, &bill)
        .await
        .unwrap()
        .unwrap();
    let issuer = Issuer { now: now(), ..JO };
    let credit = credit_invoice(&bench.store, &account, &stored, issuer)
        .await
        .unwrap()
        .number
        .unwrap();
    let link = format!("<a href=\"/portal/invoices/{bill}\">{bill}</a>");
    for (language, on, reason, credit_title, debit_title, late) in [
        (
            "en",
            "On invoice",
            "Reason",
            "Credit note",
            "Debit note",
            "What came or changed after the bill was issued.",
        ),
        (
            "zh-CN",
            "对应账单",
            "原因",
            "贷项通知单",
            "借项通知单",
            "账单出具后到达或变更的内容。",
        ),
    ] {
        let page = bench
            .page(&cookie, &format!("/portal/invoices/{debit}"), language)
            .await;
        assert!(
            page.contains(&format!("<p class=\"eyebrow\">{debit_title}</p>")),
            "{page}"
        );
        assert!(page.contains(&format!("<title>{debit_title} {debit}")), "{page}");
        assert!(
            page.contains(&fact(on, &link)) && page.contains(&fact(reason, late)),
            "{page}"
        );
        let change = match language {
            "en" => [("Billed", "1.00"), ("Now", "1.10"), ("Difference", "0.10")],
            _ => [("原计", "1.00"), ("现计", "1.10"), ("差额", "0.10")],
        };
        for (name, amount) in change {
            assert!(
                page.contains(&format!("<dt>{name}</dt><dd class=\"figures\">{amount}</dd>")),
                "{name}: {page}"
            );
        }
        assert!(
            page.contains("11 × 0.10 = 1.10 CNY") && !page.contains("= 0.10 CNY"),
            "{page}"
        );
        assert!(
            page.contains(&format!("/portal/interactions?number={debit}&amp;line=0")),
            "{page}"
        );
        let page = bench
            .page(&cookie, &format!("/portal/invoices/{credit}"), language)
            .await;
        assert!(
            page.contains(&format!("<p class=\"eyebrow\">{credit_title}</p>")),
            "{page}"
        );
        assert!(
            page.contains(&fact(on, &link)) && page.contains(&fact(reason, "paid twice by mistake")),
            "{page}"
        );
        assert!(
            page.contains("−1.10") && !page.contains("/portal/interactions"),
            "nothing is behind it: {page}"
        );
        let page = bench
            .page(&cookie, &format!("/portal/invoices/{bill}"), language)
            .await;
        for note in [&debit, &credit] {
            assert!(
                page.contains(&format!("<a href=\"/portal/invoices/{note}\">{note}</a>")),
                "{page}"
            );
        }
        let overview = bench.page(&cookie, "/portal", language).await;
        assert!(
            overview.contains(credit_title) && overview.contains(debit_title),
            "{overview}"
        );
    }
}

#[tokio::test]
async fn a_line_of_a_note_leads_to_the_interactions_of_what_it_comes_to_now() {
    let bench = bench().await;
    let cookie = bench.session().await;
    // Two charges, of which only the second one changes: on the note it is the first line.
    let spec = r#"{"charges":[{"meter":"unanswered","model":"PerUnit","name":"sorry","unitPrice":"0.20"},
        {"meter":"interactions","model":"PerUnit","name":"<answers>","unitPrice":"0.10"}],"currency":"CNY","timeZone":"Asia/Shanghai"}"#;
    let plan = PlanVersion {
        name: "standard".into(),
        uid: "u-again".into(),
        generation: 1,
        digest: Digest::of(spec.as_bytes()),
        spec: spec.into(),
    };
    assert_eq!(bench.store.put_plan(&plan, now()).await.unwrap(), PutPlan::Stored);
    let [bill, note] = bench.bill_and_debit_note().await;
    for (number, line, rows) in [(&note, 0, 11), (&bill, 0, 0), (&bill, 1, 11)] {
        let page = bench
            .page(
                &cookie,
                &format!("/portal/interactions?number={number}&line={line}"),
                "en",
            )
            .await;
        assert_eq!(
            page.matches("<tr><th scope=\"row\">").count(),
            rows,
            "{number} {line}: {page}"
        );
        assert!(
            page.contains(&format!("href=\"/portal/invoices/{number}\"")),
            "the way back: {page}"
        );
        assert!(
            page.contains(&format!("?number={number}&amp;line={line}&amp;lang=zh-CN")),
            "{page}"
        );
    }
}

#[tokio::test]
async fn a_bill_shows_its_state_what_the_tax_office_knows_and_what_came_of_disputes() {
    let bench = bench().await;
    let cookie = bench.session().await;
    let stored = bench.store.invoice_numbered(1, BILL).await.unwrap().unwrap();
    let path = format!("/portal/invoices/{BILL}");
    let check = async |english: &str, chinese: &str| {
        for (language, expected) in [("en", english), ("zh-CN", chinese)] {
            let page = bench.page(&cookie, &path, language).await;
            assert!(page.contains(expected), "{expected}: {page}");
        }
    };
    let after = |seconds| {
        now()
            .checked_add(jiff::SignedDuration::from_secs(seconds))
            .unwrap()
    };
    let state_in_rest = async || {
        let (_, list) = bench.api("/api/v1/tenants/acme/invoices", "token-acme").await;
        list["invoices"][0]["state"].clone()
    };
    check(&fact("State", "issued"), &fact("状态", "已出具")).await;
    assert_eq!(state_in_rest().await, "issued");
    let (status, ..) = bench
        .post(&format!("{path}/dispute"), &cookie, "line=&reason=too+much")
        .await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    check(&fact("State", "disputed"), &fact("状态", "有异议")).await;
    check("Not answered yet.", "尚未答复。").await;
    assert_eq!(state_in_rest().await, "disputed");
    act(
        &bench.store,
        &stored,
        Act::Resolve,
        "jo",
        "counted <again>, it is right",
        after(1),
    )
    .await
    .unwrap();
    check("Answered: the bill stands.", "已答复：账单维持不变。").await;
    check(
        "counted &lt;again&gt;, it is right",
        "counted &lt;again&gt;, it is right",
    )
    .await;
    let disputes = bench.page(&cookie, "/portal/disputes", "en").await;
    assert!(disputes.contains("Answered: the bill stands."), "{disputes}");
    act(&bench.store, &stored, Act::Pay, "jo", "", after(2))
        .await
        .unwrap();
    check(&fact("State", "paid"), &fact("状态", "已支付")).await;
    assert_eq!(state_in_rest().await, "paid");
    let note = |state, tax_number: &str, red_letter: &str| TaxRegistration {
        state,
        tax_number: tax_number.into(),
        red_letter_number: red_letter.into(),
        actor: "jo".into(),
        note: String::new(),
        at: now(),
    };
    bench
        .store
        .register_tax(BILL, &note(TaxState::Registered, "25310001", ""))
        .await
        .unwrap();
    check(
        &fact("Tax invoice (fapiao)", "25310001, registered"),
        &fact("发票", "25310001，已开具"),
    )
    .await;
    bench
        .store
        .register_tax(BILL, &note(TaxState::Reversed, "", "25310002"))
        .await
        .unwrap();
    check(
        "25310001, reversed by red letter 25310002",
        "25310001，已由红字发票 25310002 冲销",
    )
    .await;
    for path in [
        format!("{path}.pdf"),
        format!("/api/v1/tenants/acme/invoices/{BILL}/pdf"),
    ] {
        let headers = [
            ("cookie", cookie.as_str()),
            ("authorization", "Bearer token-acme"),
        ];
        let (_, _, pdf) = bench.get(&path, &headers).await;
        assert!(pdf.starts_with("%PDF-"), "{path}");
    }
}

#[tokio::test]
async fn a_line_leads_to_its_interactions_page_by_page_each_once_and_masked() {
    let bench = bench().await;
    // All at one instant, as the cursor must tell them apart.
    let more: Vec<_> = (0..120)
        .map(|turn| answered(&format!("more-{turn:03}")))
        .collect();
    bench.store.ingest(&more, now()).await.unwrap();
    let cookie = bench.session().await;
    let mut path = "/portal/interactions?period=2026-11&line=0".to_owned();
    let (mut rows, mut pages) = (0, 0);
    loop {
        let (status, _, page) = bench.get(&path, &[("cookie", &cookie)]).await;
        assert_eq!(status, StatusCode::OK);
        assert!(!page.contains("more-000"), "turns are shortened");
        rows += page.matches("<tr><th scope=\"row\">").count();
        pages += 1;
        let Some(next) = page.split("class=\"next\" href=\"").nth(1) else {
            break;
        };
        path = next.split('"').next().unwrap().replace("&amp;", "&");
    }
    assert_eq!((rows, pages), (130, 3));
    let wrong = bench
        .get(
            "/portal/interactions?period=2026-11&line=9",
            &[("cookie", &cookie)],
        )
        .await;
    assert_eq!(wrong.0, StatusCode::NOT_FOUND);
    let wrong = bench
        .get(
            "/portal/interactions?period=2026-11&after=x",
            &[("cookie", &cookie)],
        )
        .await;
    assert_eq!(wrong.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn savings_are_the_peoples_price_less_the_bill_and_say_what_they_assume() {
    let bench = bench().await;
    let cookie = bench.session().await;
    let english = format!("{cookie}; springtide_lang=en");
    let (_, _, page) = bench.get("/portal/savings", &[("cookie", &english)]).await;
    // Ten answers at 3.00 less a bill of 1.00.
    assert!(
        page.contains("29.00") && page.contains("Assumption") && page.contains("3.00 CNY"),
        "{page}"
    );
    let request = Request::post("/portal/savings/price")
        .header("cookie", &english)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("price=5.50"));
    assert_eq!(bench.send(request.unwrap()).await.0, StatusCode::SEE_OTHER);
    let (_, _, page) = bench.get("/portal/savings", &[("cookie", &english)]).await;
    assert!(
        page.contains("54.00") && page.contains("5.50 CNY") && page.contains("Set by you"),
        "{page}"
    );
}

#[tokio::test]
async fn a_budget_shows_which_thresholds_the_bill_and_the_forecast_reach() {
    let bench = bench().await;
    let cookie = format!("{}; springtide_lang=en", bench.session().await);
    let send = async |form: &'static str| {
        let request = Request::post("/portal/budget")
            .header("cookie", &cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form));
        bench.send(request.unwrap()).await
    };
    assert_eq!(
        send("amount=2.00&thresholds=40,90,200").await.0,
        StatusCode::SEE_OTHER
    );
    let (_, _, page) = bench.get("/portal/budget", &[("cookie", &cookie)]).await;
    assert!(
        page.contains("<strong>40 %</strong> reached"),
        "1.00 of 2.00: {page}"
    );
    assert!(page.contains("<strong>90 %</strong> will be reached"), "{page}");
    for wrong in [
        "amount=-1&thresholds=50",
        "amount=1.005&thresholds=50",
        "amount=1&thresholds=x",
    ] {
        assert_eq!(send(wrong).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert_eq!(send("amount=&thresholds=50").await.0, StatusCode::SEE_OTHER);
    let (_, _, page) = bench.get("/portal/budget", &[("cookie", &cookie)]).await;
    assert!(page.contains("No budget is set"), "{page}");
}

#[tokio::test]
async fn the_overview_says_what_the_month_will_come_to_and_on_what_that_rests() {
    let bench = bench().await;
    let cookie = format!("{}; springtide_lang=en", bench.session().await);
    let (_, _, page) = bench.get("/portal", &[("cookie", &cookie)]).await;
    assert!(
        page.contains("Expected for the whole month") && page.contains("at the average of the month so far"),
        "{page}"
    );
    assert!(
        page.contains("--exclusions exclusions.csv --period 2026-11 --contract-from 2026-11-12T00:00:00Z --as-of 2026-11-12T00:00:00Z<"),
        "the month runs: {page}"
    );
    assert!(page.contains("class=\"expected\""), "expected days are drawn");
    let (_, forecast) = bench.api("/api/v1/tenants/acme/forecast", "token-acme").await;
    assert_eq!(forecast["forecast"]["basis"], "the average of the month so far");
    let (_, _, past) = bench.get("/portal?period=2026-10", &[("cookie", &cookie)]).await;
    assert!(!past.contains("Expected for the whole month"));
}

#[tokio::test]
async fn files_of_a_note_are_the_notes_own_and_not_its_months() {
    let bench = bench().await;
    let cookie = bench.session().await;
    let account = bench.store.account_of_uid("uid-acme").await.unwrap().unwrap();
    let november = "2026-11".parse().unwrap();
    issue(&bench.store, &account, november, now()).await.unwrap();
    bench.store.ingest(&[answered("late")], now()).await.unwrap();
    let issuer = Issuer {
        actor: "jo",
        note: "",
        now: now(),
    };
    let note = correct(&bench.store, &account, november, issuer)
        .await
        .unwrap()
        .unwrap();
    let number = note.number.unwrap();
    // It came after the note too.
    bench.store.ingest(&[answered("later")], now()).await.unwrap();

    let (_, _, page) = bench
        .get(&format!("/portal/invoices/{number}"), &[("cookie", &cookie)])
        .await;
    let mut links = page.split("/portal/exports/").skip(1);
    assert!(links.clone().count() >= 6);
    assert!(
        links.all(|link| link
            .split('"')
            .next()
            .unwrap()
            .ends_with(&format!("?number={number}"))),
        "{page}"
    );
    let file = async |name: &str, of: &str| {
        let path = format!("/portal/exports/{name}?{of}");
        let (status, headers, text) = bench.get(&path, &[("cookie", &cookie)]).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        let name = headers["content-disposition"].to_str().unwrap().to_owned();
        (name, text)
    };
    let of = format!("number={number}");
    let (name, text) = file("bill.json", &of).await;
    assert_eq!(name, format!("attachment; filename=\"acme-{number}-bill.json\""));
    let bill: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bill["number"], number.as_str());
    let (_, text) = file("focus.csv", &of).await;
    assert!(
        text.contains(&number) && !text.contains("SPT-2026-000002"),
        "{text}"
    );
    let counted = async |of: &str| {
        let (_, text) = file("usage.csv", of).await;
        let row = text.lines().nth(1).unwrap().to_owned();
        row.split(',').nth(2).unwrap().to_owned()
    };
    assert_eq!(counted("period=2026-11").await, "10");
    assert_eq!(
        counted(&of).await,
        "11",
        "with what was late, without what is later"
    );
    for name in ["minutes.csv", "exclusions.csv", "plan.json", "interactions.jsonl"] {
        let (said, _) = file(name, &of).await;
        assert!(said.contains(&format!("acme-{number}-{name}")), "{said}");
    }
    for others in ["SPT-2026-000009", "../x"] {
        let path = format!("/portal/exports/bill.json?number={others}");
        let (status, ..) = bench.get(&path, &[("cookie", &cookie)]).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{others}");
    }
}

#[tokio::test]
async fn exports_are_files_of_the_tenant_and_the_month() {
    let bench = bench().await;
    let cookie = bench.session().await;
    for (name, kind, begins) in [
        ("usage.csv", "text/csv; charset=utf-8", "time,meter,quantity"),
        (
            "minutes.csv",
            "text/csv; charset=utf-8",
            "minute,good,bad,fast,slow",
        ),
        (
            "exclusions.csv",
            "text/csv; charset=utf-8",
            "from,to,reason,approver",
        ),
        ("focus.csv", "text/csv; charset=utf-8", "BilledCost,"),
        ("plan.json", "application/json", "{"),
        ("bill.json", "application/json", "{"),
    ] {
        let path = format!("/portal/exports/{name}?period=2026-11");
        let (status, headers, body) = bench.get(&path, &[("cookie", &cookie)]).await;
        assert_eq!(
            (status, headers["content-type"].to_str().unwrap()),
            (StatusCode::OK, kind),
            "{name}"
        );
        let disposition = headers["content-disposition"].to_str().unwrap();
        assert_eq!(
            disposition,
            format!("attachment; filename=\"acme-2026-11-{name}\"")
        );
        assert!(body.starts_with(begins), "{body}");
        let rest = format!("/api/v1/tenants/acme/exports/{name}?period=2026-11");
        let (_, _, same) = bench.get(&rest, &[("authorization", "Bearer token-acme")]).await;
        assert_eq!(same, body, "{name}");
    }
    let (status, _, _) = bench
        .get("/portal/exports/other.csv", &[("cookie", &cookie)])
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_month_without_service_minutes_says_so() {
    let bench = bench().await;
    let cookie = format!("{}; springtide_lang=en", bench.session().await);
    let (status, _, page) = bench.get("/portal/service", &[("cookie", &cookie)]).await;
    assert!(
        status == StatusCode::OK && page.contains("No service minutes were reported"),
        "{page}"
    );
}

#[tokio::test]
async fn a_bill_over_a_change_of_plan_shows_each_part_with_its_plan_and_dates_in_both_languages() {
    let bench = bench().await;
    let spec = r#"{"charges":[{"meter":"interactions","model":"PerUnit","name":"<answers>","unitPrice":"0.50"}],"currency":"CNY","timeZone":"Europe/Berlin"}"#;
    let plan = PlanVersion {
        name: "premium".into(),
        uid: "u2".into(),
        generation: 7,
        digest: Digest::of(spec.as_bytes()),
        spec: spec.into(),
    };
    bench.store.put_plan(&plan, now()).await.unwrap();
    let changed = AccountDetails {
        rate_plan: "premium".into(),
        ..details("acme")
    };
    bench.store.register(&changed, now()).await.unwrap();
    let account = bench.store.account_of_uid("uid-acme").await.unwrap().unwrap();
    let (bill, _) = issue(&bench.store, &account, "2026-11".parse().unwrap(), now())
        .await
        .unwrap();
    let number = bill.number.unwrap();
    let cookie = bench.session().await;
    // When the thirteenth begins in Berlin, it has begun in Shanghai.
    let parts = [
        "standard (1), 2026-11-01 – 2026-11-13, Asia/Shanghai",
        "premium (7), 2026-11-13 – 2026-11-30",
    ];
    for (language, label) in [("en", "Rate plan: "), ("zh-CN", "资费方案: ")] {
        let cookie = format!("{cookie}; springtide_lang={language}");
        let path = format!("/portal/invoices/{number}");
        let (status, _, page) = bench.get(&path, &[("cookie", &cookie)]).await;
        assert_eq!(status, StatusCode::OK);
        for part in parts {
            assert_eq!(
                page.matches(part).count(),
                2,
                "{part} above and at its line: {page}"
            );
            assert!(page.contains(&format!("{label}{part}")), "{language}: {page}");
        }
    }
    // Each line leads to what it counted, and no further.
    for (line, rows) in [(0, 10), (1, 0)] {
        let path = format!("/portal/interactions?period=2026-11&line={line}");
        let (_, _, page) = bench.get(&path, &[("cookie", &cookie)]).await;
        assert_eq!(page.matches("<tr><th scope=\"row\">").count(), rows, "{line}");
    }
}
