-- Nothing of an audit is taken away.
CREATE TRIGGER portal_audit_never_deleted BEFORE DELETE ON portal_audit
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit();
CREATE TRIGGER portal_audit_never_truncated BEFORE TRUNCATE ON portal_audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit();
CREATE TRIGGER provider_audit_never_deleted BEFORE DELETE ON provider_audit
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit();
CREATE TRIGGER provider_audit_never_truncated BEFORE TRUNCATE ON provider_audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit();
