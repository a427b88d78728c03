-- Instants are nanoseconds since 1970 (UTC) but for `start_second`.

-- Minutes of service as one start of a gateway reported them, an hour in a row: sixty places, each empty or the counts of
-- that minute (see service_level/hour.rs). `is_probe`: by the operator, of the public door.
CREATE TABLE service_hour (
    ledger_id INTEGER NOT NULL REFERENCES ledger (id),
    start_second INTEGER NOT NULL,
    pool TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    is_probe INTEGER NOT NULL,
    reporter TEXT NOT NULL,
    minutes BLOB NOT NULL,
    PRIMARY KEY (ledger_id, start_second, pool, boot_id, is_probe)
) STRICT, WITHOUT ROWID;

-- Spans of time that no credit is computed from, as for agreed maintenance. A revoked one stays, for people to see.
CREATE TABLE service_exclusion (
    id INTEGER PRIMARY KEY,
    ledger_id INTEGER NOT NULL REFERENCES ledger (id),
    from_time INTEGER NOT NULL,
    to_time INTEGER NOT NULL,
    reason TEXT NOT NULL,
    approver TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    revoked_at INTEGER,
    revoked_by TEXT
) STRICT;
CREATE INDEX service_exclusion_by_time ON service_exclusion (ledger_id, from_time);

-- Where a tenant is told that it loses service too fast.
CREATE TABLE alert_target (
    ledger_id INTEGER PRIMARY KEY REFERENCES ledger (id),
    url TEXT NOT NULL,
    secret BLOB NOT NULL,
    set_at INTEGER NOT NULL
) STRICT;

-- Alerts that are raised now.
CREATE TABLE alert (
    ledger_id INTEGER NOT NULL REFERENCES ledger (id),
    window_name TEXT NOT NULL,
    raised_at INTEGER NOT NULL,
    PRIMARY KEY (ledger_id, window_name)
) STRICT, WITHOUT ROWID;

-- What is, was or could not be sent. `state`: pending, delivered or given_up.
CREATE TABLE alert_delivery (
    id INTEGER PRIMARY KEY,
    ledger_id INTEGER NOT NULL REFERENCES ledger (id),
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX alert_delivery_pending ON alert_delivery (next_attempt_at) WHERE state = 'pending';
CREATE INDEX alert_delivery_by_ledger ON alert_delivery (ledger_id, id);
