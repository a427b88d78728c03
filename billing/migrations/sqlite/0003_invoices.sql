-- What becomes of bills. Instants are nanoseconds since 1970 (UTC), amounts whole numbers of the currency's smallest unit.
-- Rows of the tables here never change or go, but for `drift`: the database refuses it.

CREATE INDEX invoice_by_period ON invoice (period, ledger_id);

-- Drafts that somebody may approve: the last ordinal counts.
CREATE TABLE invoice_review (
    ledger_id INTEGER NOT NULL REFERENCES ledger (id),
    period TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    digest TEXT NOT NULL,
    document TEXT NOT NULL,
    findings TEXT NOT NULL,
    actor TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (ledger_id, period, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX invoice_review_by_period ON invoice_review (period, ledger_id);

-- States of an issued bill: the last ordinal is the one it is in (see bill/state.rs).
CREATE TABLE invoice_state (
    number TEXT NOT NULL REFERENCES invoice (number),
    ordinal INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('issued', 'paid', 'disputed', 'credited')),
    actor TEXT NOT NULL,
    note TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (number, ordinal)
) STRICT, WITHOUT ROWID;

-- What the tax office knows of a bill (fapiao): its own number, and that of the red letter which reverses it.
CREATE TABLE tax_registration (
    number TEXT NOT NULL REFERENCES invoice (number),
    ordinal INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('requested', 'registered', 'reversed')),
    tax_number TEXT NOT NULL,
    red_letter_number TEXT NOT NULL,
    actor TEXT NOT NULL,
    note TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (number, ordinal)
) STRICT, WITHOUT ROWID;

-- Journal, double entry. A posting is written after its entries, and only if they sum to zero and leave nothing on the
-- clearing account; nothing is added to it afterwards. Debits are above zero.
CREATE TABLE journal_posting (
    number TEXT NOT NULL REFERENCES invoice (number),
    posting TEXT NOT NULL CHECK (posting IN ('issue', 'payment')),
    currency TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (number, posting)
) STRICT, WITHOUT ROWID;
CREATE TABLE journal_entry (
    number TEXT NOT NULL,
    posting TEXT NOT NULL,
    position INTEGER NOT NULL,
    account TEXT NOT NULL CHECK (account IN ('receivable', 'revenue', 'credits', 'tax', 'clearing', 'cash')),
    amount INTEGER NOT NULL,
    PRIMARY KEY (number, posting, position),
    FOREIGN KEY (number, posting) REFERENCES journal_posting (number, posting) DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;

CREATE TRIGGER journal_posting_balances BEFORE INSERT ON journal_posting
WHEN (SELECT COALESCE(sum(amount), 0) FROM journal_entry WHERE number = NEW.number AND posting = NEW.posting) <> 0
    OR (SELECT COALESCE(sum(amount), 0) FROM journal_entry
        WHERE number = NEW.number AND posting = NEW.posting AND account = 'clearing') <> 0
BEGIN SELECT RAISE(ABORT, 'a posting sums to zero, and so does its clearing account'); END;
CREATE TRIGGER journal_entry_before_posting BEFORE INSERT ON journal_entry
WHEN EXISTS (SELECT 1 FROM journal_posting WHERE number = NEW.number AND posting = NEW.posting)
BEGIN SELECT RAISE(ABORT, 'nothing is added to a posting'); END;

CREATE TRIGGER invoice_plan_never_changes BEFORE UPDATE ON invoice_plan
BEGIN SELECT RAISE(ABORT, 'rows of invoice_plan never change'); END;
CREATE TRIGGER invoice_plan_never_deleted BEFORE DELETE ON invoice_plan
BEGIN SELECT RAISE(ABORT, 'rows of invoice_plan never change'); END;
CREATE TRIGGER invoice_review_never_changes BEFORE UPDATE ON invoice_review
BEGIN SELECT RAISE(ABORT, 'rows of invoice_review never change'); END;
CREATE TRIGGER invoice_review_never_deleted BEFORE DELETE ON invoice_review
BEGIN SELECT RAISE(ABORT, 'rows of invoice_review never change'); END;
CREATE TRIGGER invoice_state_never_changes BEFORE UPDATE ON invoice_state
BEGIN SELECT RAISE(ABORT, 'rows of invoice_state never change'); END;
CREATE TRIGGER invoice_state_never_deleted BEFORE DELETE ON invoice_state
BEGIN SELECT RAISE(ABORT, 'rows of invoice_state never change'); END;
CREATE TRIGGER tax_registration_never_changes BEFORE UPDATE ON tax_registration
BEGIN SELECT RAISE(ABORT, 'rows of tax_registration never change'); END;
CREATE TRIGGER tax_registration_never_deleted BEFORE DELETE ON tax_registration
BEGIN SELECT RAISE(ABORT, 'rows of tax_registration never change'); END;
CREATE TRIGGER journal_posting_never_changes BEFORE UPDATE ON journal_posting
BEGIN SELECT RAISE(ABORT, 'rows of journal_posting never change'); END;
CREATE TRIGGER journal_posting_never_deleted BEFORE DELETE ON journal_posting
BEGIN SELECT RAISE(ABORT, 'rows of journal_posting never change'); END;
CREATE TRIGGER journal_entry_never_changes BEFORE UPDATE ON journal_entry
BEGIN SELECT RAISE(ABORT, 'rows of journal_entry never change'); END;
CREATE TRIGGER journal_entry_never_deleted BEFORE DELETE ON journal_entry
BEGIN SELECT RAISE(ABORT, 'rows of journal_entry never change'); END;

-- Tenants whose books do not agree: nothing is issued to them until they do.
CREATE TABLE drift (
    ledger_id INTEGER PRIMARY KEY REFERENCES ledger (id),
    findings TEXT NOT NULL,
    found_at INTEGER NOT NULL
) STRICT;

-- Events that were recorded before this instant may be gone; 0: none is.
CREATE TABLE event_retention (
    entity TEXT PRIMARY KEY,
    kept_since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO event_retention (entity, kept_since) VALUES ('SPT', 0);
