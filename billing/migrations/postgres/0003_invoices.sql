-- What becomes of bills. Instants are nanoseconds since 1970 (UTC), amounts whole numbers of the currency's smallest unit.
-- Rows of the tables here never change or go, but for `drift`: the database refuses it.

CREATE INDEX invoice_by_period ON invoice (period, ledger_id);

-- Drafts that somebody may approve: the last ordinal counts.
CREATE TABLE invoice_review (
    ledger_id BIGINT NOT NULL REFERENCES ledger (id),
    period TEXT NOT NULL,
    ordinal BIGINT NOT NULL,
    digest TEXT NOT NULL,
    document TEXT NOT NULL,
    findings TEXT NOT NULL,
    actor TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (ledger_id, period, ordinal)
);
CREATE INDEX invoice_review_by_period ON invoice_review (period, ledger_id);

-- States of an issued bill: the last ordinal is the one it is in (see bill/state.rs).
CREATE TABLE invoice_state (
    number TEXT NOT NULL REFERENCES invoice (number),
    ordinal BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('issued', 'paid', 'disputed', 'credited')),
    actor TEXT NOT NULL,
    note TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (number, ordinal)
);

-- What the tax office knows of a bill (fapiao): its own number, and that of the red letter which reverses it.
CREATE TABLE tax_registration (
    number TEXT NOT NULL REFERENCES invoice (number),
    ordinal BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('requested', 'registered', 'reversed')),
    tax_number TEXT NOT NULL,
    red_letter_number TEXT NOT NULL,
    actor TEXT NOT NULL,
    note TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (number, ordinal)
);

-- Journal, double entry. A posting is written after its entries, and only if they sum to zero and leave nothing on the
-- clearing account; nothing is added to it afterwards. Debits are above zero.
CREATE TABLE journal_posting (
    number TEXT NOT NULL REFERENCES invoice (number),
    posting TEXT NOT NULL CHECK (posting IN ('issue', 'payment')),
    currency TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (number, posting)
);
CREATE TABLE journal_entry (
    number TEXT NOT NULL,
    posting TEXT NOT NULL,
    position BIGINT NOT NULL,
    account TEXT NOT NULL CHECK (account IN ('receivable', 'revenue', 'credits', 'tax', 'clearing', 'cash')),
    amount BIGINT NOT NULL,
    PRIMARY KEY (number, posting, position),
    FOREIGN KEY (number, posting) REFERENCES journal_posting (number, posting) DEFERRABLE INITIALLY DEFERRED
);

CREATE FUNCTION refuse_unbalanced_posting() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total NUMERIC;
    cleared NUMERIC;
BEGIN
    SELECT COALESCE(sum(amount), 0), COALESCE(sum(amount) FILTER (WHERE account = 'clearing'), 0) INTO total, cleared
        FROM journal_entry WHERE number = NEW.number AND posting = NEW.posting;
    IF total <> 0 OR cleared <> 0 THEN
        RAISE EXCEPTION 'a posting sums to zero, and so does its clearing account';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER journal_posting_balances BEFORE INSERT ON journal_posting
    FOR EACH ROW EXECUTE FUNCTION refuse_unbalanced_posting();

CREATE FUNCTION refuse_late_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM journal_posting WHERE number = NEW.number AND posting = NEW.posting) THEN
        RAISE EXCEPTION 'nothing is added to a posting';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER journal_entry_before_posting BEFORE INSERT ON journal_entry
    FOR EACH ROW EXECUTE FUNCTION refuse_late_entry();

CREATE FUNCTION refuse_change_of_record() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'rows of % never change', TG_TABLE_NAME; END $$;
DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['invoice_plan', 'invoice_review', 'invoice_state', 'tax_registration', 'journal_posting', 'journal_entry'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION refuse_change_of_record()',
            name || '_never_changes', name);
        EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_record()',
            name || '_never_truncated', name);
    END LOOP;
END $$;

-- Tenants whose books do not agree: nothing is issued to them until they do.
CREATE TABLE drift (
    ledger_id BIGINT PRIMARY KEY REFERENCES ledger (id),
    findings TEXT NOT NULL,
    found_at BIGINT NOT NULL
);

-- Events that were recorded before this instant may be gone; 0: none is.
CREATE TABLE event_retention (
    entity TEXT PRIMARY KEY,
    kept_since BIGINT NOT NULL
);
INSERT INTO event_retention (entity, kept_since) VALUES ('SPT', 0);
