//! What a firm is shown of a month whose interactions are no longer kept.

use axum::http::StatusCode;

use super::*;

const BEARER: [(&str, &str); 1] = [("authorization", "Bearer token-acme")];
const PATH: &str = "/api/v1/tenants/acme/interactions?period=2026-11";

async fn drop_before(bench: &Bench, instant: &str) {
    let outcome = bench.store.drop_events(instant.parse().unwrap()).await.unwrap();
    assert!(matches!(outcome, crate::store::DropOutcome::Dropped(_)));
}

#[tokio::test]
async fn a_month_whose_interactions_were_dropped_says_so_and_shows_no_empty_list() {
    let bench = bench().await;
    let (_, headers, body) = bench.get(PATH, &BEARER).await;
    assert_eq!(body.lines().count(), 10);
    assert!(headers.get("springtide-kept-since").is_none());
    bench
        .store
        .note_events_dropped("2026-11-05T00:00:00Z".parse().unwrap())
        .await
        .unwrap();
    let (status, headers, body) = bench.get(PATH, &BEARER).await;
    assert_eq!(
        (status, body.lines().count()),
        (StatusCode::OK, 10),
        "what is left"
    );
    assert_eq!(headers["springtide-kept-since"], "2026-11-05T00:00:00Z");

    drop_before(&bench, "2027-02-01T00:00:00Z").await;
    let (status, body) = bench.api(PATH, "token-acme").await;
    assert_eq!(
        (status, &body["error"]["reason"]),
        (StatusCode::GONE, &"NO_LONGER_KEPT".into())
    );
    let cookie = bench.session().await;
    for (page, word) in [
        ("/portal/interactions?period=2026-11&lang=en", "2027-02-01 (UTC)"),
        (
            "/portal/exports/interactions.jsonl?period=2026-11&lang=en",
            "no longer kept",
        ),
    ] {
        let (_, _, body) = bench.get(page, &[("cookie", &cookie)]).await;
        assert!(
            body.contains(word) && !body.contains("There are no interactions"),
            "{page}: {body}"
        );
    }
    let (status, usage) = bench
        .api("/api/v1/tenants/acme/usage?period=2026-11", "token-acme")
        .await;
    assert_eq!(status, StatusCode::OK);
    assert!(usage.to_string().contains("\"10\""), "sums stay: {usage}");
}
