-- What the provider's own people work with. Instants are nanoseconds since 1970 (UTC), digests are SHA-256.

-- Tokens by which they sign in at the back office. Only digests are kept; a revoked one stays, for people to see.
CREATE TABLE staff_token (
    id TEXT NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE staff_session (
    digest BLOB NOT NULL PRIMARY KEY,
    token_id TEXT NOT NULL REFERENCES staff_token (id),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Work on all tenants' bills of a period: who began it, how far it came, and what came of it (JSON). One without an end that says
-- nothing any more was cut off.
CREATE TABLE bill_run (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    period TEXT NOT NULL,
    actor TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    due INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    ended_at INTEGER,
    summary TEXT NOT NULL DEFAULT ''
) STRICT;
