-- How long a tenant's single events are kept, in days since they were recorded. Bills, journal, sums and keys are kept for ever.
ALTER TABLE account ADD COLUMN usage_days BIGINT NOT NULL DEFAULT 0;

-- Of a ledger: events that were recorded before kept_since may be gone; those before dropped_before are. Without a row all are
-- there.
CREATE TABLE ledger_retention (
    ledger_id BIGINT PRIMARY KEY REFERENCES ledger (id),
    kept_since BIGINT NOT NULL,
    dropped_before BIGINT NOT NULL
);
INSERT INTO ledger_retention (ledger_id, kept_since, dropped_before)
    SELECT l.id, r.kept_since, r.kept_since FROM ledger l CROSS JOIN event_retention r WHERE r.kept_since > 0;
DROP TABLE event_retention;
CREATE POLICY of_one_tenant ON ledger_retention FOR SELECT USING (ledger_id = (SELECT ledger_in_scope()));
ALTER TABLE ledger_retention ENABLE ROW LEVEL SECURITY;
