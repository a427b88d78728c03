-- SQLite keeps quantities as whole billionths in decimal text: exact, and never a float.
-- Instants are nanoseconds since 1970 (UTC). Digests are SHA-256.

-- Where usage of one (tenant UID, tenant name) gathers. The statement that is open takes what comes in.
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY,
    tenant_uid TEXT NOT NULL,
    tenant TEXT NOT NULL,
    open_statement INTEGER NOT NULL DEFAULT 1,
    UNIQUE (tenant_uid, tenant)
) STRICT;
CREATE INDEX ledger_by_tenant ON ledger (tenant);

-- Who issues bills, by law, and what their numbers begin with.
CREATE TABLE legal_entity (
    name TEXT PRIMARY KEY,
    prefix TEXT NOT NULL UNIQUE,
    legal_name TEXT NOT NULL,
    tax_id TEXT NOT NULL,
    address TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO legal_entity (name, prefix, legal_name, tax_id, address) VALUES ('springtide', 'SPT', 'Springtide', '', '');

CREATE TABLE account (
    ledger_id INTEGER PRIMARY KEY REFERENCES ledger (id),
    tenant_uid TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    display_name TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    legal_name TEXT NOT NULL,
    tax_id TEXT NOT NULL,
    billing_email TEXT NOT NULL,
    payment_days INTEGER NOT NULL,
    portal_token_digest BLOB NOT NULL,
    locale TEXT NOT NULL,
    entity TEXT NOT NULL DEFAULT 'springtide' REFERENCES legal_entity (name),
    registered_at INTEGER NOT NULL,
    closed_at INTEGER
) STRICT;
CREATE INDEX account_by_tenant ON account (tenant);
CREATE INDEX account_by_token ON account (portal_token_digest);

-- By which plan an account is billed from which local date on, as "2026-11-16", in the plan's zone: what a later record says
-- of a date, and of those after it, takes the place of what an earlier one said (see bill/schedule.rs).
CREATE TABLE plan_assignment (
    ledger_id INTEGER NOT NULL REFERENCES ledger (id),
    ordinal INTEGER NOT NULL,
    plan TEXT NOT NULL,
    from_date TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    recorded_by TEXT NOT NULL,
    PRIMARY KEY (ledger_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE rate_plan (
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    generation INTEGER NOT NULL,
    spec TEXT NOT NULL,
    digest BLOB NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (name, uid, generation)
) STRICT, WITHOUT ROWID;

-- A pod and its process start, as it names itself.
CREATE TABLE reporter (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    UNIQUE (name, boot_id)
) STRICT;

-- Identity of an event, for ever: never deleted. The key is the first half of the SHA-256 of tenant UID, tenant, source and
-- id; the hash is that of the bytes. Beside it, what changes: `standing` is a set of bits, what all reports of it say together
-- (see metering/standing.rs); worker and gateway are its first reporters, 0 is none; delivery is what that gateway says of it,
-- 0 nothing, 1 undelivered, 2 delivered.
CREATE TABLE event_key (
    key BLOB PRIMARY KEY,
    hash BLOB NOT NULL,
    event_time INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    gateway INTEGER NOT NULL,
    standing INTEGER NOT NULL,
    delivery INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What happened, as it came: an encoded UsageEvent.
CREATE TABLE event (
    ledger_id INTEGER NOT NULL,
    event_time INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    key BLOB NOT NULL,
    meter TEXT NOT NULL,
    quantity TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX event_by_time ON event (ledger_id, event_time);
-- When modules were taken and dropped is asked of all times.
CREATE INDEX event_of_modules ON event (ledger_id, event_time) WHERE meter = 'modules';
-- Those of them that outlived the month in which they were recorded.
CREATE TABLE module_event (
    ledger_id INTEGER NOT NULL,
    event_time INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    key BLOB NOT NULL,
    meter TEXT NOT NULL,
    quantity TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX event_by_record ON event (recorded_at);

-- Reporters of an event beside its first worker and its first gateway: outside key and hash.
CREATE TABLE further_report (
    key BLOB NOT NULL,
    witness INTEGER NOT NULL,
    reporter INTEGER NOT NULL REFERENCES reporter (id),
    delivery INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (key, witness, reporter)
) STRICT, WITHOUT ROWID;

-- All that was said of an event: witness 0 is not said (over HTTP), 1 a worker, 2 a gateway.
CREATE VIEW provenance (key, witness, reporter, boot_id, delivery) AS
    SELECT k.key, CAST(k.standing & 1 AS BIGINT), r.name, r.boot_id, CAST(0 AS BIGINT) FROM event_key k JOIN reporter r ON r.id = k.worker
    UNION ALL
    SELECT k.key, CAST(2 AS BIGINT), r.name, r.boot_id, CAST(k.delivery AS BIGINT) FROM event_key k JOIN reporter r ON r.id = k.gateway
    UNION ALL
    SELECT f.key, CAST(f.witness AS BIGINT), r.name, r.boot_id, CAST(f.delivery AS BIGINT) FROM further_report f JOIN reporter r ON r.id = f.reporter;

-- Other bytes under an identity that is taken: a variant of an interaction (is_variant = 1), or a conflict.
CREATE TABLE rival (
    key BLOB NOT NULL,
    hash BLOB NOT NULL,
    ledger_id INTEGER NOT NULL,
    identity TEXT NOT NULL,
    payload BLOB NOT NULL,
    is_variant INTEGER NOT NULL,
    reporter TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (key, hash)
) STRICT;

-- Records that were wrong in themselves, for people to see and to offer again; with the words of the reporter that sent them
-- first. What was taken later is marked with when.
CREATE TABLE rejection (
    peer TEXT NOT NULL,
    hash BLOB NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    payload BLOB NOT NULL,
    witness INTEGER NOT NULL,
    delivery INTEGER NOT NULL,
    reporter TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    times INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    taken_at INTEGER,
    PRIMARY KEY (peer, hash, reason)
) STRICT;
CREATE INDEX rejection_by_time ON rejection (first_at, hash);

-- Usage in quarters of an hour: what bills read. The quantity is that which landed in the statement, also below zero.
CREATE TABLE usage_bucket (
    ledger_id INTEGER NOT NULL,
    start_second INTEGER NOT NULL,
    statement INTEGER NOT NULL,
    meter TEXT NOT NULL,
    dimensions_digest BLOB NOT NULL,
    dimensions TEXT NOT NULL,
    quantity TEXT NOT NULL,
    PRIMARY KEY (ledger_id, start_second, statement, meter, dimensions_digest)
) STRICT, WITHOUT ROWID;

-- Last number of a legal entity's bills, and the digest that the next one is chained to.
CREATE TABLE invoice_chain (
    entity TEXT PRIMARY KEY REFERENCES legal_entity (name),
    last_sequence INTEGER NOT NULL,
    last_digest TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO invoice_chain (entity, last_sequence, last_digest) VALUES ('springtide', 0, '');

-- Issued bills.
CREATE TABLE invoice (
    entity TEXT NOT NULL REFERENCES invoice_chain (entity),
    sequence INTEGER NOT NULL,
    number TEXT NOT NULL UNIQUE,
    ledger_id INTEGER NOT NULL REFERENCES ledger (id),
    period TEXT NOT NULL,
    kind TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    statement INTEGER NOT NULL,
    period_start INTEGER NOT NULL,
    period_end INTEGER NOT NULL,
    document TEXT NOT NULL,
    digest TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    PRIMARY KEY (entity, sequence),
    UNIQUE (ledger_id, period, kind, ordinal)
) STRICT, WITHOUT ROWID;

-- The versions of plans by which a bill was made: they never change.
CREATE TABLE invoice_plan (
    number TEXT NOT NULL REFERENCES invoice (number),
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (number, name, uid, generation)
) STRICT, WITHOUT ROWID;
CREATE INDEX invoice_plan_by_version ON invoice_plan (name, uid, generation);

CREATE TRIGGER invoice_never_changes BEFORE UPDATE ON invoice
BEGIN SELECT RAISE(ABORT, 'an issued invoice never changes'); END;
CREATE TRIGGER invoice_never_deleted BEFORE DELETE ON invoice
BEGIN SELECT RAISE(ABORT, 'an issued invoice never changes'); END;

CREATE TABLE portal_session (
    digest BLOB PRIMARY KEY,
    ledger_id INTEGER NOT NULL REFERENCES account (ledger_id),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
