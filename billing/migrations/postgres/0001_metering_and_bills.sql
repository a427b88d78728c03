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

CREATE TABLE account (
    ledger_id BIGINT PRIMARY KEY REFERENCES ledger (id),
    tenant_uid TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    display_name TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    rate_plan TEXT NOT NULL,
    legal_name TEXT NOT NULL,
    tax_id TEXT NOT NULL,
    billing_email TEXT NOT NULL,
    payment_days BIGINT NOT NULL,
    portal_token_digest BYTEA NOT NULL,
    locale TEXT NOT NULL,
    registered_at BIGINT NOT NULL,
    closed_at BIGINT
);
CREATE INDEX account_by_tenant ON account (tenant);
CREATE INDEX account_by_token ON account (portal_token_digest);

CREATE TABLE rate_plan (
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    generation BIGINT NOT NULL,
    spec TEXT NOT NULL,
    digest BYTEA NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (name, uid, generation)
);

-- Identity of an event, for ever: never deleted, never partitioned by time.
CREATE TABLE event_key (
    ledger_id BIGINT NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    hash BYTEA NOT NULL,
    sequence BIGINT GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (ledger_id, source, id)
);

-- `standing`: bits, what all reports of it say together (see metering/standing.rs).
CREATE TABLE event (
    sequence BIGINT PRIMARY KEY,
    ledger_id BIGINT NOT NULL,
    standing BIGINT NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    event_time BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    meter TEXT NOT NULL,
    quantity NUMERIC NOT NULL,
    dimensions TEXT NOT NULL,
    reversal_of TEXT
) WITH (fillfactor = 90);
CREATE INDEX event_by_time ON event (ledger_id, event_time);

-- Who reported an event, and whether it was delivered: 0 not said, 1 undelivered, 2 delivered. Outside key and hash.
CREATE TABLE provenance (
    sequence BIGINT NOT NULL,
    witness BIGINT NOT NULL,
    reporter TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    delivery BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (sequence, witness, reporter, boot_id)
);

-- Other bytes under an identity that is taken: a variant of an interaction (is_variant = 1), or a conflict.
CREATE TABLE rival (
    sequence BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    payload BYTEA NOT NULL,
    is_variant BIGINT NOT NULL,
    reporter TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (sequence, hash)
);

-- Records that were wrong in themselves, for people to see.
CREATE TABLE rejection (
    peer TEXT NOT NULL,
    hash BYTEA NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    payload BYTEA NOT NULL,
    reporter TEXT NOT NULL,
    times BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (peer, hash, reason)
);

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
    entity TEXT PRIMARY KEY,
    last_sequence BIGINT NOT NULL,
    last_digest TEXT NOT NULL
);
INSERT INTO invoice_chain (entity, last_sequence, last_digest) VALUES ('SPT', 0, '');

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
    plan_name TEXT NOT NULL,
    plan_uid TEXT NOT NULL,
    plan_generation BIGINT NOT NULL,
    document TEXT NOT NULL,
    digest TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    PRIMARY KEY (entity, sequence),
    UNIQUE (ledger_id, period, kind, ordinal)
);
CREATE INDEX invoice_by_plan ON invoice (plan_name, plan_uid, plan_generation);

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
