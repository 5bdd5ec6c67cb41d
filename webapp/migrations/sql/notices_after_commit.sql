-- The queue of NOTIFY is one for the whole cluster, and a tenant may fill it. A NOTIFY in a transaction makes its commit
-- fail then, so nothing here sends one: what is to be told is noted in a setting of the transaction, which whoever
-- commits reads before and sends after (webapp/notify.py). A lost notice costs the time until somebody looks again.
-- Past 8000 characters nothing is added: whoever reads it then wakes everybody.
CREATE FUNCTION dbhost_note(channel text, payload text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    noted text := coalesce(current_setting('dbhost.notices', true), '');
    line text := channel || ' ' || payload || E'\n';
BEGIN
    IF length(noted) < 8000 AND position(line IN noted) = 0 THEN
        PERFORM set_config('dbhost.notices', noted || line, true);
    END IF;
END;
$$;

CREATE OR REPLACE FUNCTION dbhost_notify_operation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dbhost_note('dbhost_changes', 'operation:' || NEW.id);
    RETURN NULL;
END;
$$;

CREATE OR REPLACE FUNCTION dbhost_notify_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dbhost_note('dbhost_changes', 'run:' || NEW.id);
    RETURN NULL;
END;
$$;

CREATE OR REPLACE FUNCTION dbhost_notify_run_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dbhost_note('dbhost_changes', 'run:' || NEW.run_id);
    RETURN NULL;
END;
$$;

CREATE OR REPLACE FUNCTION dbhost_notify_lock_freed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dbhost_note(
        'procrastinate_queue_v1#' || OLD.queue_name,
        json_build_object('type', 'job_inserted', 'job_id', OLD.id)::text
    );
    RETURN NULL;
END;
$$;

-- Procrastinate's own two, which sent to procrastinate_any_queue_v1 too: our workers name their queue.
CREATE OR REPLACE FUNCTION procrastinate_notify_queue_job_inserted_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dbhost_note(
        'procrastinate_queue_v1#' || NEW.queue_name,
        json_build_object('type', 'job_inserted', 'job_id', NEW.id)::text
    );
    RETURN NEW;
END;
$$;

CREATE OR REPLACE FUNCTION procrastinate_notify_queue_abort_job_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dbhost_note(
        'procrastinate_queue_v1#' || NEW.queue_name,
        json_build_object('type', 'abort_job_requested', 'job_id', NEW.id)::text
    );
    RETURN NEW;
END;
$$;
