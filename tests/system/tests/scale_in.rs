//! Scale-in under load, as `cargo xtask bench autoscaling --only chaos` measures it, with fewer conversations.

use springtide_tests::{assignment, chaos};

const SIZE: chaos::Size = chaos::Size {
    conversations: 5_000,
    turns: 2,
    customers: 200,
    think: 200,
    least: 3,
    most: 6,
    every: 200,
    deadline: 200,
    kill: 0.0,
    seed: 1,
};

#[tokio::test(flavor = "multi_thread")]
async fn scale_in_loses_no_conversation_and_no_turn_is_answered_twice() {
    let folder = tempfile::tempdir().unwrap();
    let figures = chaos::run(SIZE, folder.path().to_owned()).await.unwrap();
    assert_eq!(
        (figures.conversations, figures.answered),
        (5_000, 10_000),
        "{figures:#?}"
    );
    assert!(figures.scaled_in > 5 && figures.moved > 0, "{figures:#?}");
    assert_eq!((figures.lost, figures.answered_twice), (0, 0), "{figures:#?}");
    assert_eq!(
        (
            figures.wrongly_counted,
            figures.left_in_spools,
            figures.one_witness
        ),
        (0, 0, 0),
        "{figures:#?}"
    );
    assert_eq!(
        (figures.wrongly_ended, figures.ended_by_one_witness),
        (0, 0),
        "{figures:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_lose_no_conversation_and_every_answer_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let size = chaos::Size {
        conversations: 3_000,
        kill: 0.5,
        seed: 2,
        ..SIZE
    };
    let figures = chaos::run(size, folder.path().to_owned()).await.unwrap();
    assert!(figures.killed > 2, "{figures:#?}");
    assert_eq!((figures.lost, figures.answered), (0, 6_000), "{figures:#?}");
    assert_eq!(
        (
            figures.answered_twice,
            figures.wrongly_counted,
            figures.wrongly_ended,
            figures.left_in_spools
        ),
        (0, 0, 0, 0),
        "{figures:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_conversation_is_assigned_to_one_worker() {
    let folder = tempfile::tempdir().unwrap();
    let size = assignment::Size {
        rate: 100.0,
        conversations: 300,
        before: 50,
        references: 50,
        stays: 300,
        workers: 6,
        capacity: 10,
        seed: 1,
    };
    let figures = assignment::run(size, folder.path().to_owned()).await.unwrap();
    assert_eq!(figures.conversations, 300);
    assert_eq!(
        (
            figures.not_answered,
            figures.assigned_twice,
            figures.wrongly_counted
        ),
        (0, 0, 0),
        "{figures:#?}"
    );
}
