-- Instants are nanoseconds since 1970 (UTC).

-- Ratings of the last days as they count, by which bursts of complaints are found. Whose they are and what was said is in their
-- events alone. `answer_id` is empty where the conversation had no single answer.
CREATE TABLE rating (
    key UUID PRIMARY KEY,
    ledger_id BIGINT NOT NULL,
    answer_id TEXT NOT NULL,
    score BIGINT NOT NULL,
    rated_at BIGINT NOT NULL,
    noted_at BIGINT NOT NULL
);
CREATE INDEX rating_by_topic ON rating (ledger_id, answer_id, rated_at);
CREATE INDEX rating_by_noting ON rating (noted_at);

-- Bursts of complaints, of which their tenants were told. `complaints` from the first to the last, `complaints_before` in the seven
-- days before.
CREATE TABLE complaint_burst (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ledger_id BIGINT NOT NULL REFERENCES ledger (id),
    answer_id TEXT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    complaints BIGINT NOT NULL,
    complaints_before BIGINT NOT NULL,
    told_at BIGINT NOT NULL,
    ended_at BIGINT
);
-- A topic has one burst at a time.
CREATE UNIQUE INDEX complaint_burst_under_way ON complaint_burst (ledger_id, answer_id) WHERE ended_at IS NULL;
CREATE INDEX complaint_burst_by_time ON complaint_burst (ledger_id, last_at);

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['rating', 'complaint_burst'] LOOP
        EXECUTE format('CREATE POLICY of_one_tenant ON %I FOR SELECT USING (ledger_id = (SELECT ledger_in_scope()))', name);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    END LOOP;
END $$;
