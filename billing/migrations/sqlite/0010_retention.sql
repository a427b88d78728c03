-- How long a tenant's single events are kept, in days since they were recorded. Bills, journal, sums and keys are kept for ever.
ALTER TABLE account ADD COLUMN usage_days INTEGER NOT NULL DEFAULT 0;

-- Of a ledger: events that were recorded before kept_since may be gone; those before dropped_before are. Without a row all are
-- there.
CREATE TABLE ledger_retention (
    ledger_id INTEGER PRIMARY KEY REFERENCES ledger (id),
    kept_since INTEGER NOT NULL,
    dropped_before INTEGER NOT NULL
) STRICT;
INSERT INTO ledger_retention (ledger_id, kept_since, dropped_before)
    SELECT l.id, r.kept_since, r.kept_since FROM ledger l CROSS JOIN event_retention r WHERE r.kept_since > 0;
DROP TABLE event_retention;
