-- How often a tenant wrote through the portal; of use on PostgreSQL alone, where a replica may lack the last write.
CREATE TABLE portal_write (
    ledger_id INTEGER PRIMARY KEY,
    writes INTEGER NOT NULL
) STRICT;

-- Events with how they stand.
CREATE VIEW recorded_event AS
    SELECT e.ledger_id, e.event_time, e.key, e.meter, e.payload, k.standing FROM event e JOIN event_key k ON k.key = e.key;
-- Those that say when modules were taken and dropped, of all times.
CREATE VIEW recorded_module AS
    SELECT e.ledger_id, e.event_time, e.key, e.payload, k.standing FROM (
        SELECT ledger_id, event_time, key, payload FROM event WHERE meter = 'modules'
        UNION ALL SELECT ledger_id, event_time, key, payload FROM module_event) e
    JOIN event_key k ON k.key = e.key;
