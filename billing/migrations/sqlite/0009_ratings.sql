-- Instants are nanoseconds since 1970 (UTC).

-- Ratings of the last days as they count, by which bursts of complaints are found. Whose they are and what was said is in their
-- events alone. `answer_id` is empty where the conversation had no single answer.
CREATE TABLE rating (
    key BLOB PRIMARY KEY,
    ledger_id INTEGER NOT NULL,
    answer_id TEXT NOT NULL,
    score INTEGER NOT NULL,
    rated_at INTEGER NOT NULL,
    noted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX rating_by_topic ON rating (ledger_id, answer_id, rated_at);
CREATE INDEX rating_by_noting ON rating (noted_at);

-- Bursts of complaints, of which their tenants were told. `complaints` from the first to the last, `complaints_before` in the seven
-- days before.
CREATE TABLE complaint_burst (
    id INTEGER PRIMARY KEY,
    ledger_id INTEGER NOT NULL REFERENCES ledger (id),
    answer_id TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    complaints INTEGER NOT NULL,
    complaints_before INTEGER NOT NULL,
    told_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;
-- A topic has one burst at a time.
CREATE UNIQUE INDEX complaint_burst_under_way ON complaint_burst (ledger_id, answer_id) WHERE ended_at IS NULL;
CREATE INDEX complaint_burst_by_time ON complaint_burst (ledger_id, last_at);
