-- What the provider's own people work with. Without policies: no tenant reads any of it. Instants are nanoseconds since 1970 (UTC),
-- digests are SHA-256.

-- Tokens by which they sign in at the back office. Only digests are kept; a revoked one stays, for people to see.
CREATE TABLE staff_token (
    id TEXT PRIMARY KEY,
    digest BYTEA NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
ALTER TABLE staff_token ENABLE ROW LEVEL SECURITY;

CREATE TABLE staff_session (
    digest BYTEA PRIMARY KEY,
    token_id TEXT NOT NULL REFERENCES staff_token (id),
    expires_at BIGINT NOT NULL
);
ALTER TABLE staff_session ENABLE ROW LEVEL SECURITY;

-- Work on all tenants' bills of a period: who began it, how far it came, and what came of it (JSON). One without an end that says
-- nothing any more was cut off.
CREATE TABLE bill_run (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT NOT NULL,
    period TEXT NOT NULL,
    actor TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    due BIGINT NOT NULL DEFAULT 0,
    done BIGINT NOT NULL DEFAULT 0,
    ended_at BIGINT,
    summary TEXT NOT NULL DEFAULT ''
);
ALTER TABLE bill_run ENABLE ROW LEVEL SECURITY;
