-- Instants are nanoseconds since 1970 (UTC). Digests are SHA-256.

-- Access tokens that a client firm makes beside the account's own. Only digests are kept; a revoked one stays, for people
-- to see.
CREATE TABLE access_token (
    id TEXT PRIMARY KEY,
    ledger_id BIGINT NOT NULL REFERENCES account (ledger_id),
    digest BYTEA NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX access_token_by_ledger ON access_token (ledger_id, created_at);

-- By which access token a session was opened; empty: by the account's own.
ALTER TABLE portal_session ADD COLUMN token_id TEXT NOT NULL DEFAULT '';
-- At which OpenID provider its person signed in, or empty; who that is, and what it may. Of a session that an access token opened
-- the token's own name and role count.
ALTER TABLE portal_session ADD COLUMN provider TEXT NOT NULL DEFAULT '';
ALTER TABLE portal_session ADD COLUMN person TEXT NOT NULL DEFAULT '';
ALTER TABLE portal_session ADD COLUMN role TEXT NOT NULL DEFAULT '';

-- Who is on the way to an OpenID provider, by what the browser holds; one comes back once.
CREATE TABLE sign_in_attempt (
    digest BYTEA PRIMARY KEY,
    provider TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- What a client firm set for itself, as its monthly budget.
CREATE TABLE portal_setting (
    ledger_id BIGINT NOT NULL REFERENCES account (ledger_id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (ledger_id, name)
);

-- Who read personal data, and who changed what.
CREATE TABLE portal_audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ledger_id BIGINT NOT NULL REFERENCES account (ledger_id),
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    role TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL
);
CREATE INDEX portal_audit_by_time ON portal_audit (ledger_id, at);
CREATE FUNCTION refuse_change_of_audit() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit never changes'; END $$;
CREATE TRIGGER portal_audit_never_changes BEFORE UPDATE ON portal_audit
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit();


-- What a client firm objects to on an issued bill.
CREATE TABLE dispute (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ledger_id BIGINT NOT NULL REFERENCES account (ledger_id),
    number TEXT NOT NULL REFERENCES invoice (number),
    line TEXT NOT NULL,
    reason TEXT NOT NULL,
    opened_by TEXT NOT NULL,
    opened_at BIGINT NOT NULL
);
CREATE INDEX dispute_by_invoice ON dispute (ledger_id, number);
