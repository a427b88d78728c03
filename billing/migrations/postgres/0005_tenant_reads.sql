-- What reads of one tenant see, also where a query forgets to say whose rows it wants. They run as a role that owns nothing,
-- with the ledger in the setting `springtide.ledger` (see store/postgres/scope.rs); without it they see no row. Row level
-- security does not bind the owner of the tables: taking usage, issuing and verifying are done as the owner.
--
-- A table without a policy cannot be read by that role at all. What has one is granted to it when the program starts.

CREATE FUNCTION ledger_in_scope() RETURNS BIGINT LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('springtide.ledger', true), '')::bigint;

-- How often a tenant wrote through the portal: what tells whether a replica has its last write.
CREATE TABLE portal_write (
    ledger_id BIGINT PRIMARY KEY,
    writes BIGINT NOT NULL
);

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['account', 'event', 'module_event', 'usage_bucket', 'invoice', 'service_hour', 'service_exclusion',
        'alert_target', 'alert', 'alert_delivery', 'invoice_review', 'drift', 'access_token', 'portal_setting', 'portal_audit',
        'dispute', 'plan_assignment', 'portal_write'] LOOP
        EXECUTE format('CREATE POLICY of_one_tenant ON %I FOR SELECT USING (ledger_id = (SELECT ledger_in_scope()))', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['invoice_plan', 'invoice_state', 'tax_registration', 'journal_posting', 'journal_entry'] LOOP
        EXECUTE format('CREATE POLICY of_one_tenant ON %I FOR SELECT
            USING (EXISTS (SELECT 1 FROM invoice i WHERE i.number = %I.number))', name, name);
    END LOOP;
    FOR name IN SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
        AND NOT relispartition AND relname <> '_sqlx_migrations' LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    END LOOP;
END $$;
CREATE POLICY of_one_tenant ON ledger FOR SELECT USING (id = (SELECT ledger_in_scope()));
-- Who issues its bills.
CREATE POLICY of_one_tenant ON legal_entity FOR SELECT USING (EXISTS (SELECT 1 FROM account a WHERE a.entity = legal_entity.name));
-- The plans that a tenant has or had.
CREATE POLICY of_one_tenant ON rate_plan FOR SELECT USING (
    EXISTS (SELECT 1 FROM plan_assignment a WHERE a.plan = rate_plan.name)
    OR EXISTS (SELECT 1 FROM invoice_plan i WHERE i.name = rate_plan.name AND i.uid = rate_plan.uid
        AND i.generation = rate_plan.generation));

-- Events with how they stand. Keys are of no tenant, so the two are joined here, where the rows of others are left out.
CREATE VIEW recorded_event WITH (security_barrier) AS
    SELECT e.ledger_id, e.event_time, e.key, e.meter, e.payload, k.standing FROM event e JOIN event_key k ON k.key = e.key
    WHERE (SELECT NOT row_security_active('ledger'::regclass)) OR e.ledger_id = (SELECT ledger_in_scope());
-- Those that say when modules were taken and dropped, of all times.
CREATE VIEW recorded_module WITH (security_barrier) AS
    SELECT e.ledger_id, e.event_time, e.key, e.payload, k.standing FROM (
        SELECT ledger_id, event_time, key, payload FROM event WHERE meter = 'modules'
        UNION ALL SELECT ledger_id, event_time, key, payload FROM module_event) e
    JOIN event_key k ON k.key = e.key
    WHERE (SELECT NOT row_security_active('ledger'::regclass)) OR e.ledger_id = (SELECT ledger_in_scope());
