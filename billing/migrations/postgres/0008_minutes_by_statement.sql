-- Minutes of service land in the statement that is open, as usage does: a bill has those that landed up to its own, and what
-- comes later waits for a correction. What was there before this is in the first.
ALTER TABLE service_hour ADD COLUMN statement BIGINT NOT NULL DEFAULT 1;
ALTER TABLE service_hour DROP CONSTRAINT service_hour_pkey;
ALTER TABLE service_hour ADD PRIMARY KEY (ledger_id, start_second, pool, boot_id, is_probe, statement);
