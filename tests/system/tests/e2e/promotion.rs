//! A promotion of three times the load, as `cargo xtask bench autoscaling --only promotion` measures it, with fewer conversations.

use springtide_tests::promotion::{Size, run};

use crate::support::cluster;

#[tokio::test(flavor = "multi_thread")]
async fn all_of_three_times_the_load_answers_five_minutes_before_a_promotion_opens() {
    let Some(cluster) = cluster().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let size = Size { conversations: 8 };
    let figures = run(&cluster, size, folder.path()).await.unwrap();
    let ahead = figures.all_answering_before_opening_s.unwrap_or_default();
    assert!(ahead >= 300.0, "{figures:#?}");
    assert!(
        figures.workers_wanted >= 3 * 8 / 4 && figures.workers_before < figures.workers_wanted,
        "{figures:#?}"
    );
    assert_eq!(
        (
            figures.customers_at_once,
            figures.not_answered,
            figures.told_to_wait
        ),
        (24, 0, 0),
        "{figures:#?}"
    );
    for reason in ["PrewarmBegan", "PromotionOpensIn10m"] {
        assert!(figures.events.iter().any(|said| said == reason), "{figures:#?}");
    }
}
