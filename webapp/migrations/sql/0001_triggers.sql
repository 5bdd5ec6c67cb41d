-- Audit events are append-only: whoever connects, the database refuses to change them.
CREATE FUNCTION dbhost_refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are append-only' USING ERRCODE = 'insufficient_privilege';
END;
$$;

CREATE TRIGGER audit_events_refuse_change BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION dbhost_refuse_audit_change();
CREATE TRIGGER audit_events_refuse_truncate BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION dbhost_refuse_audit_change();

-- Change notices for webapp/services/notices.py: what changed, never its content. Equal notices of one
-- transaction arrive once.
CREATE FUNCTION dbhost_notify_operation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('dbhost_changes', 'operation:' || NEW.id);
    RETURN NULL;
END;
$$;

CREATE FUNCTION dbhost_notify_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('dbhost_changes', 'run:' || NEW.id);
    RETURN NULL;
END;
$$;

CREATE FUNCTION dbhost_notify_run_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('dbhost_changes', 'run:' || NEW.run_id);
    RETURN NULL;
END;
$$;

CREATE TRIGGER operations_notify AFTER INSERT OR UPDATE ON operations
    FOR EACH ROW EXECUTE FUNCTION dbhost_notify_operation();
CREATE TRIGGER runs_notify AFTER UPDATE ON runs
    FOR EACH ROW EXECUTE FUNCTION dbhost_notify_run();
CREATE TRIGGER run_steps_notify AFTER INSERT OR UPDATE ON run_steps
    FOR EACH ROW EXECUTE FUNCTION dbhost_notify_run_step();
