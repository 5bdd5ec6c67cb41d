-- Audit events are append-only, but for one thing: an event older than twelve months loses its actor, and nothing else.
CREATE OR REPLACE FUNCTION dbhost_refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    actor_columns CONSTANT text[] := ARRAY['actor_user_id', 'actor_api_key_id', 'actor_label', 'ip', 'subject'];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.at < now() - interval '12 months'
            AND NEW.actor_user_id IS NULL AND NEW.actor_api_key_id IS NULL AND NEW.ip IS NULL
            AND NEW.actor_label = 'redacted'
            AND (NEW.subject = OLD.subject OR (OLD.subject = OLD.actor_label AND NEW.subject = 'redacted'))
            AND to_jsonb(NEW) - actor_columns = to_jsonb(OLD) - actor_columns
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit events are append-only' USING ERRCODE = 'insufficient_privilege';
END;
$$;
