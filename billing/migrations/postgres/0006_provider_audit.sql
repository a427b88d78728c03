-- Who did what by the program's commands over all client firms, or of one without an account; what was done of an account is in
-- portal_audit. Without a policy: no tenant reads it.
CREATE TABLE provider_audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL
);
ALTER TABLE provider_audit ENABLE ROW LEVEL SECURITY;
CREATE TRIGGER provider_audit_never_changes BEFORE UPDATE ON provider_audit
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit();

-- With when each was recorded, as a bill has those that were recorded before it.
CREATE OR REPLACE VIEW recorded_module WITH (security_barrier) AS
    SELECT e.ledger_id, e.event_time, e.key, e.payload, k.standing, e.recorded_at FROM (
        SELECT ledger_id, event_time, key, payload, recorded_at FROM event WHERE meter = 'modules'
        UNION ALL SELECT ledger_id, event_time, key, payload, recorded_at FROM module_event) e
    JOIN event_key k ON k.key = e.key
    WHERE (SELECT NOT row_security_active('ledger'::regclass)) OR e.ledger_id = (SELECT ledger_in_scope());
