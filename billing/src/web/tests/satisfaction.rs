//! What customers thought, for people and for programs.

use serde_json::json;
use springtide_proto::rated::{Comment, Rating, Score};

use super::*;
use crate::satisfaction::burst::Burst;
use crate::store::Topic;

/// As its gateway reports it.
fn rated(conversation: &str, pool: &str, score: i64, comment: &str) -> crate::metering::report::Examined {
    let rating = Rating {
        rated_at: "2026-11-10T16:00:00Z".parse().unwrap(),
        score: Score::new(score).unwrap(),
        comment: Comment::of(comment),
        answer_id: Some("refund".into()),
        channel: "web".into(),
        pool: PoolId::parse(pool).unwrap(),
        conversation: ConversationId::parse(conversation).unwrap(),
        tenant: TenantId::parse("acme").unwrap(),
        tenant_uid: TenantUid::parse("uid-acme").unwrap(),
    };
    let record = Record {
        usage_event: rating.encode().into(),
        witness: Witness::Gateway.into(),
        delivery: 0,
        reporter: "pod".into(),
        boot_id: "boot".into(),
    };
    let peer = Reporter {
        tenant: rating.tenant,
        role: Some(TenantRole::Gateway),
    };
    examine(record, &peer, now())
}

#[tokio::test]
async fn satisfaction_is_beside_the_service_level_in_exact_figures_and_on_no_bill() {
    let bench = bench().await;
    let cookie = bench.session().await;
    let page = async |language: &str| {
        let cookie = format!("{cookie}; springtide_lang={language}");
        let (status, _, page) = bench.get("/portal/service", &[("cookie", &cookie)]).await;
        assert_eq!(status, StatusCode::OK);
        page
    };
    let none = page("en").await;
    assert!(
        none.contains("No customer rated a conversation in this month."),
        "{none}"
    );
    let ratings = [
        ("c1", "web", 5),
        ("c2", "web", 4),
        ("c3", "web", 2),
        ("c4", "app", 5),
    ];
    let ratings = ratings.map(|(conversation, pool, score)| rated(conversation, pool, score, ""));
    bench.store.ingest(&ratings, now()).await.unwrap();
    for (language, words) in [
        (
            "en",
            [
                "of the ratings are 4 or 5 (CSAT).",
                "Mean score, of 5",
                "no credit depends on it",
            ],
        ),
        (
            "zh-CN",
            [
                "的评价为 4 分或 5 分（满意率 CSAT）。",
                "平均分（满分 5 分）",
                "不影响抵扣",
            ],
        ),
    ] {
        let page = page(language).await;
        for words in words {
            assert!(page.contains(words), "{words}: {page}");
        }
        assert!(
            page.contains("75.0 <small>%</small>") && page.contains("<strong>4.00</strong>"),
            "{page}"
        );
        assert!(page.contains("<th scope=\"row\">app</th>"), "each pool: {page}");
    }
    let (_, said) = bench.api("/api/v1/tenants/acme/satisfaction", "token-acme").await;
    assert_eq!(
        said,
        json!({"tenant": "acme", "period": "2026-11", "ratings": "4", "mean": "4.00", "csat": "75.0",
        "scores": {"1": "0", "2": "1", "3": "0", "4": "1", "5": "2"},
        "pools": {
            "app": {"ratings": "1", "mean": "5.00", "csat": "100.0", "scores": {"1": "0", "2": "0", "3": "0", "4": "0", "5": "1"}},
            "web": {"ratings": "3", "mean": "3.67", "csat": "66.7", "scores": {"1": "0", "2": "1", "3": "0", "4": "1", "5": "1"}},
        }})
    );
    let (_, preview) = bench.api("/api/v1/tenants/acme/preview", "token-acme").await;
    assert_eq!(
        (&preview["total"], preview["lines"].as_array().unwrap().len()),
        (&json!("1.00"), 1)
    );
}

#[tokio::test]
async fn bursts_of_complaints_are_shown_with_what_customers_wrote_masked_and_escaped_and_it_is_noted_who_read_it()
 {
    let bench = bench().await;
    let cookie = bench.session().await;
    let path = "/portal/complaints?period=2026-11";
    let english = format!("{cookie}; springtide_lang=en");
    let (_, _, none) = bench.get(path, &[("cookie", &english)]).await;
    assert!(
        none.contains("There was no burst of complaints in this month."),
        "{none}"
    );
    let complaint = rated("conversation-of-a-customer", "web", 1, "<b>打 138 0013 8000</b>");
    let other = rated("conversation-of-another", "web", 5, "很好");
    bench.store.ingest(&[complaint, other], now()).await.unwrap();
    let at = "2026-11-10T16:00:00Z".parse().unwrap();
    let burst = Burst {
        first_at: at,
        last_at: at,
        complaints: 1_234,
        before: 672,
    };
    for answer_id in ["refund", ""] {
        let topic = Topic {
            ledger: 1,
            answer_id: answer_id.into(),
        };
        assert!(bench.store.tell_burst(&topic, &burst, "{}", now()).await.unwrap());
    }
    for (language, words) in [
        (
            "en",
            [
                "no answer was given",
                "goes on",
                "The ratings are not kept any more",
            ],
        ),
        ("zh-CN", ["未给出答案", "持续中", "评价已不再保留"]),
    ] {
        let cookie = format!("{cookie}; springtide_lang={language}");
        let (status, _, page) = bench.get(path, &[("cookie", &cookie)]).await;
        assert_eq!(status, StatusCode::OK);
        for words in words {
            assert!(page.contains(words), "{words}: {page}");
        }
        assert!(
            page.contains("&lt;b&gt;打 ***&lt;/b&gt;") && !page.contains("138"),
            "{page}"
        );
        assert!(
            page.contains("conv…omer") && !page.contains("conversation-of-a-customer"),
            "{page}"
        );
        assert!(
            page.contains("1,234") && page.contains("1.00") && !page.contains("很好"),
            "{page}"
        );
    }
    let (_, said) = bench
        .api("/api/v1/tenants/acme/complaints?period=2026-11", "token-acme")
        .await;
    let bursts = said["bursts"].as_array().unwrap();
    assert_eq!(bursts.len(), 2);
    let refund = bursts.iter().find(|burst| burst["topic"] == "refund").unwrap();
    assert_eq!(
        (&refund["complaints"], &refund["endedAt"]),
        (&json!(1_234), &Value::Null)
    );
    assert_eq!(
        refund["examples"][0]["conversation"],
        "conversation-of-a-customer"
    );
    assert_eq!(refund["examples"][0]["comment"], "<b>打 ***</b>");
    let (_, others) = bench.api("/api/v1/tenants/other/complaints", "token-other").await;
    assert_eq!(others["bursts"], json!([]));
    let audit = bench.store.audit(1, 10).await.unwrap();
    let read = audit.iter().filter(|entry| entry.action == "read complaints");
    assert_eq!(read.count(), 4, "three pages and one answer");
}
