-- Nothing of an audit is taken away.
CREATE TRIGGER portal_audit_never_deleted BEFORE DELETE ON portal_audit
BEGIN SELECT RAISE(ABORT, 'the audit never changes'); END;
CREATE TRIGGER provider_audit_never_deleted BEFORE DELETE ON provider_audit
BEGIN SELECT RAISE(ABORT, 'the audit never changes'); END;
