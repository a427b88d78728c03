-- Instants are nanoseconds since 1970 (UTC). Digests are SHA-256.

-- Where usage of one (tenant UID, tenant name) gathers. The statement that is open takes what comes in.
CREATE TABLE ledger (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_uid TEXT NOT NULL,
    tenant TEXT NOT NULL,
    open_statement BIGINT NOT NULL DEFAULT 1,
    UNIQUE (tenant_uid, tenant)
);
CREATE INDEX ledger_by_tenant ON ledger (tenant);

-- Who issues bills, by law, and what their numbers begin with.
CREATE TABLE legal_entity (
    name TEXT PRIMARY KEY,
    prefix TEXT NOT NULL UNIQUE,
    legal_name TEXT NOT NULL,
    tax_id TEXT NOT NULL,
    address TEXT NOT NULL
);
INSERT INTO legal_entity (name, prefix, legal_name, tax_id, address) VALUES ('springtide', 'SPT', 'Springtide', '', '');

CREATE TABLE account (
    ledger_id BIGINT PRIMARY KEY REFERENCES ledger (id),
    tenant_uid TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    display_name TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    legal_name TEXT NOT NULL,
    tax_id TEXT NOT NULL,
    billing_email TEXT NOT NULL,
    payment_days BIGINT NOT NULL,
    portal_token_digest BYTEA NOT NULL,
    locale TEXT NOT NULL,
    entity TEXT NOT NULL DEFAULT 'springtide' REFERENCES legal_entity (name),
    registered_at BIGINT NOT NULL,
    closed_at BIGINT
);
CREATE INDEX account_by_tenant ON account (tenant);
CREATE INDEX account_by_token ON account (portal_token_digest);

-- By which plan an account is billed from which local date on, as "2026-11-16", in the plan's zone: what a later record says
-- of a date, and of those after it, takes the place of what an earlier one said (see bill/schedule.rs).
CREATE TABLE plan_assignment (
    ledger_id BIGINT NOT NULL REFERENCES ledger (id),
    ordinal BIGINT NOT NULL,
    plan TEXT NOT NULL,
    from_date TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    recorded_by TEXT NOT NULL,
    PRIMARY KEY (ledger_id, ordinal)
);

CREATE TABLE rate_plan (
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    generation BIGINT NOT NULL,
    spec TEXT NOT NULL,
    digest BYTEA NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (name, uid, generation)
);

-- A pod and its process start, as it names itself.
CREATE TABLE reporter (
    id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    UNIQUE (name, boot_id)
);

-- Identity of an event, for ever: never deleted, never partitioned by time. The key is the first half of the SHA-256 of
-- tenant UID, tenant, source and id; the hash is that of the bytes. Beside it, what changes: `standing` is a set of bits,
-- what all reports of it say together (see metering/standing.rs); worker and gateway are its first reporters, 0 is none;
-- delivery is what that gateway says of it, 0 nothing, 1 undelivered, 2 delivered. Half of each page is left for the second
-- report, which so stays on its page and touches no index.
CREATE TABLE event_key (
    key UUID PRIMARY KEY,
    hash UUID NOT NULL,
    event_time BIGINT NOT NULL,
    worker INTEGER NOT NULL,
    gateway INTEGER NOT NULL,
    standing SMALLINT NOT NULL,
    delivery SMALLINT NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_insert_scale_factor = 0.05);

-- What happened, as it came: an encoded UsageEvent. A partition for each month in which it was recorded.
CREATE TABLE event (
    ledger_id BIGINT NOT NULL,
    event_time BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    key UUID NOT NULL,
    meter TEXT NOT NULL,
    quantity NUMERIC NOT NULL,
    payload BYTEA NOT NULL
) PARTITION BY RANGE (recorded_at);
CREATE INDEX event_by_time ON event (ledger_id, event_time);
-- When modules were taken and dropped is asked of all times.
CREATE INDEX event_of_modules ON event (ledger_id, event_time) WHERE meter = 'modules';
-- Those of them that outlived the month in which they were recorded.
CREATE TABLE module_event (
    ledger_id BIGINT NOT NULL,
    event_time BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    key UUID NOT NULL,
    meter TEXT NOT NULL,
    quantity NUMERIC NOT NULL,
    payload BYTEA NOT NULL
);
-- Takes what no month's partition does, so that no event fails for lack of one.
CREATE TABLE event_of_other_months PARTITION OF event DEFAULT;

-- Reporters of an event beside its first worker and its first gateway: outside key and hash.
CREATE TABLE further_report (
    key UUID NOT NULL,
    witness SMALLINT NOT NULL,
    reporter INTEGER NOT NULL REFERENCES reporter (id),
    delivery SMALLINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (key, witness, reporter)
);

-- All that was said of an event: witness 0 is not said (over HTTP), 1 a worker, 2 a gateway.
CREATE VIEW provenance (key, witness, reporter, boot_id, delivery) AS
    SELECT k.key, CAST(k.standing & 1 AS BIGINT), r.name, r.boot_id, CAST(0 AS BIGINT) FROM event_key k JOIN reporter r ON r.id = k.worker
    UNION ALL
    SELECT k.key, CAST(2 AS BIGINT), r.name, r.boot_id, CAST(k.delivery AS BIGINT) FROM event_key k JOIN reporter r ON r.id = k.gateway
    UNION ALL
    SELECT f.key, CAST(f.witness AS BIGINT), r.name, r.boot_id, CAST(f.delivery AS BIGINT) FROM further_report f JOIN reporter r ON r.id = f.reporter;

-- Other bytes under an identity that is taken: a variant of an interaction (is_variant = 1), or a conflict.
CREATE TABLE rival (
    key BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    ledger_id BIGINT NOT NULL,
    identity TEXT NOT NULL,
    payload BYTEA NOT NULL,
    is_variant BIGINT NOT NULL,
    reporter TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (key, hash)
);

-- Records that were wrong in themselves, for people to see and to offer again; with the words of the reporter that sent them
-- first. What was taken later is marked with when.
CREATE TABLE rejection (
    peer TEXT NOT NULL,
    hash BYTEA NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    payload BYTEA NOT NULL,
    witness BIGINT NOT NULL,
    delivery BIGINT NOT NULL,
    reporter TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    times BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    taken_at BIGINT,
    PRIMARY KEY (peer, hash, reason)
);
CREATE INDEX rejection_by_time ON rejection (first_at, hash);

-- Usage in quarters of an hour: what bills read. The quantity is that which landed in the statement, also below zero.
CREATE TABLE usage_bucket (
    ledger_id BIGINT NOT NULL,
    start_second BIGINT NOT NULL,
    statement BIGINT NOT NULL,
    meter TEXT NOT NULL,
    dimensions_digest BYTEA NOT NULL,
    dimensions TEXT NOT NULL,
    quantity NUMERIC NOT NULL,
    PRIMARY KEY (ledger_id, start_second, statement, meter, dimensions_digest)
);

-- Last number of a legal entity's bills, and the digest that the next one is chained to.
CREATE TABLE invoice_chain (
    entity TEXT PRIMARY KEY REFERENCES legal_entity (name),
    last_sequence BIGINT NOT NULL,
    last_digest TEXT NOT NULL
);
INSERT INTO invoice_chain (entity, last_sequence, last_digest) VALUES ('springtide', 0, '');

-- Issued bills.
CREATE TABLE invoice (
    entity TEXT NOT NULL REFERENCES invoice_chain (entity),
    sequence BIGINT NOT NULL,
    number TEXT NOT NULL UNIQUE,
    ledger_id BIGINT NOT NULL REFERENCES ledger (id),
    period TEXT NOT NULL,
    kind TEXT NOT NULL,
    ordinal BIGINT NOT NULL,
    statement BIGINT NOT NULL,
    period_start BIGINT NOT NULL,
    period_end BIGINT NOT NULL,
    document TEXT NOT NULL,
    digest TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    PRIMARY KEY (entity, sequence),
    UNIQUE (ledger_id, period, kind, ordinal)
);

-- The versions of plans by which a bill was made: they never change.
CREATE TABLE invoice_plan (
    number TEXT NOT NULL REFERENCES invoice (number),
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    generation BIGINT NOT NULL,
    PRIMARY KEY (number, name, uid, generation)
);
CREATE INDEX invoice_plan_by_version ON invoice_plan (name, uid, generation);

CREATE FUNCTION refuse_change_of_invoice() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'an issued invoice never changes'; END $$;
CREATE TRIGGER invoice_never_changes BEFORE UPDATE OR DELETE ON invoice
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_invoice();
CREATE TRIGGER invoice_never_truncated BEFORE TRUNCATE ON invoice
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_invoice();

CREATE TABLE portal_session (
    digest BYTEA PRIMARY KEY,
    ledger_id BIGINT NOT NULL REFERENCES account (ledger_id),
    expires_at BIGINT NOT NULL
);
