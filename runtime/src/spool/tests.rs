use super::*;

async fn open(folder: &tempfile::TempDir) -> Spool {
    Spool::open(folder.path()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_outlives_the_process_until_it_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let sequence = open(&folder)
        .await
        .append(b"one".to_vec(), Delivery::Unspecified, false)
        .await
        .unwrap();
    let again = open(&folder).await;
    assert_eq!(again.depth(), 1);
    let records = again.oldest(10).await.unwrap();
    assert_eq!(
        records,
        [SpooledRecord {
            sequence,
            event: b"one".to_vec(),
            delivery: Delivery::Unspecified,
            origin: None
        }]
    );
    again.acknowledge(vec![sequence]).await.unwrap();
    assert_eq!(open(&folder).await.depth(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_record_is_durable_but_not_reported_until_it_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder).await;
    let sequence = spool
        .append(b"one".to_vec(), Delivery::Delivered, true)
        .await
        .unwrap();
    assert_eq!(spool.oldest(10).await.unwrap(), []);
    assert_eq!(
        open(&folder).await.oldest(10).await.unwrap().len(),
        1,
        "after a restart nothing is held"
    );
    spool.settle(sequence, Delivery::Undelivered).await.unwrap();
    assert_eq!(spool.oldest(10).await.unwrap()[0].delivery, Delivery::Undelivered);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_read_is_never_reported_as_delivered_however_often_the_reporter_looks() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder).await;
    let over = Arc::new(AtomicBool::new(false));
    let reporter = tokio::spawn({
        let (spool, over) = (spool.clone(), over.clone());
        async move {
            let mut reported = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let records = spool.oldest(1_000).await.unwrap();
                let sequences = records.iter().map(|record| record.sequence).collect();
                spool.acknowledge(sequences).await.unwrap();
                reported.extend(records.into_iter().map(|record| record.delivery));
            }
            reported
        }
    });
    for _ in 0..200 {
        let held = (Delivery::Delivered, true);
        let sequence = spool.append(b"one".to_vec(), held.0, held.1).await.unwrap();
        spool.settle(sequence, Delivery::Undelivered).await.unwrap();
    }
    while spool.depth() > 0 {
        drop(tokio::time::timeout(Duration::from_millis(10), spool.changed()).await);
    }
    over.store(true, Ordering::Relaxed);
    assert_eq!(reporter.await.unwrap(), [Delivery::Undelivered; 200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_that_come_together_all_get_their_own_place() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder).await;
    let appends = (0..200_u8).map(|n| {
        let spool = spool.clone();
        async move { spool.append(vec![n], Delivery::Delivered, false).await.unwrap() }
    });
    let sequences: HashSet<_> = futures::future::join_all(appends).await.into_iter().collect();
    assert_eq!((sequences.len(), spool.depth()), (200, 200));
}
