//! Known events whose place others take, as conversations that ended again: rare, and two statements each.

/// Writes them in a transaction of either database, in its `$words`. What is there must still be what was read.
macro_rules! replace_events {
    ($transaction:expr, $changes:expr, $words:expr) => {{
        let (update_key, update_event) = $words;
        for replaced in &$changes.replaced {
            let (changed, report) = (replaced.changed, replaced.report);
            let (was_at, at) = (nanosecond_of(replaced.was_at)?, nanosecond_of(report.event.time)?);
            let hash = report.hash.fingerprint();
            let mut query = sqlx::query(update_key)
                .bind(&changed.key.as_bytes()[..])
                .bind(&changed.hash.as_bytes()[..])
                .bind(&hash.as_bytes()[..])
                .bind(at);
            for marks in [changed.before, changed.after] {
                query = query
                    .bind(marks.standing.to_stored())
                    .bind(marks.worker)
                    .bind(marks.gateway)
                    .bind(marks.delivery);
            }
            let keys = query.execute(&mut **$transaction).await?.rows_affected();
            let query = sqlx::query(update_event)
                .bind(replaced.ledger)
                .bind(was_at)
                .bind(&changed.key.as_bytes()[..])
                .bind(at)
                .bind(&report.payload[..]);
            let events = query.execute(&mut **$transaction).await?.rows_affected();
            if (keys, events) != (1, 1) {
                return Err(StoreError::Overtaken);
            }
        }
    }};
}
pub(super) use replace_events;

macro_rules! replace_key {
    ($key:literal, $hash:literal, $new:literal) => {
        concat!(
            "UPDATE event_key SET hash = ",
            $new,
            ", event_time = $4, standing = $9, worker = $10, gateway = $11, delivery = $12 WHERE key = ",
            $key,
            " AND hash = ",
            $hash,
            " AND standing = $5 AND worker = $6 AND gateway = $7 AND delivery = $8"
        )
    };
}

pub(super) const SQLITE: (&str, &str) = (
    replace_key!("$1", "$2", "$3"),
    "UPDATE event SET event_time = $4, payload = $5 WHERE ledger_id = $1 AND event_time = $2 AND key = $3",
);
pub(super) const POSTGRES: (&str, &str) = (
    replace_key!(
        "encode($1, 'hex')::uuid",
        "encode($2, 'hex')::uuid",
        "encode($3, 'hex')::uuid"
    ),
    "UPDATE event SET event_time = $4, payload = $5 WHERE ledger_id = $1 AND event_time = $2 AND key = encode($3, 'hex')::uuid",
);
