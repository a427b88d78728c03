-- Minutes of service land in the statement that is open, as usage does: a bill has those that landed up to its own, and what
-- comes later waits for a correction. What was there before this is in the first.
CREATE TABLE service_hour_by_statement (
    ledger_id INTEGER NOT NULL REFERENCES ledger (id),
    start_second INTEGER NOT NULL,
    pool TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    is_probe INTEGER NOT NULL,
    statement INTEGER NOT NULL DEFAULT 1,
    reporter TEXT NOT NULL,
    minutes BLOB NOT NULL,
    PRIMARY KEY (ledger_id, start_second, pool, boot_id, is_probe, statement)
) STRICT, WITHOUT ROWID;
INSERT INTO service_hour_by_statement (ledger_id, start_second, pool, boot_id, is_probe, reporter, minutes)
    SELECT ledger_id, start_second, pool, boot_id, is_probe, reporter, minutes FROM service_hour;
DROP TABLE service_hour;
ALTER TABLE service_hour_by_statement RENAME TO service_hour;
