-- Who did what by the program's commands over all client firms, or of one without an account; what was done of an account is in
-- portal_audit.
CREATE TABLE provider_audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL
) STRICT;
CREATE TRIGGER provider_audit_never_changes BEFORE UPDATE ON provider_audit
BEGIN SELECT RAISE(ABORT, 'the audit never changes'); END;

-- With when each was recorded, as a bill has those that were recorded before it.
DROP VIEW recorded_module;
CREATE VIEW recorded_module AS
    SELECT e.ledger_id, e.event_time, e.key, e.payload, k.standing, e.recorded_at FROM (
        SELECT ledger_id, event_time, key, payload, recorded_at FROM event WHERE meter = 'modules'
        UNION ALL SELECT ledger_id, event_time, key, payload, recorded_at FROM module_event) e
    JOIN event_key k ON k.key = e.key;
