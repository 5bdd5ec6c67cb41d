-- When a job with a lock ends, workers look again: a doorbell that waited for the lock would otherwise be found
-- only by polling. Without a look at what waits: one that is committed just now would be missed.
CREATE FUNCTION dbhost_notify_lock_freed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(
        'procrastinate_queue_v1#' || OLD.queue_name,
        json_build_object('type', 'job_inserted', 'job_id', OLD.id)::text
    );
    RETURN NULL;
END;
$$;

CREATE TRIGGER dbhost_jobs_deleted AFTER DELETE ON procrastinate_jobs
    FOR EACH ROW WHEN (OLD.status = 'doing' AND OLD.lock IS NOT NULL)
    EXECUTE FUNCTION dbhost_notify_lock_freed();
CREATE TRIGGER dbhost_jobs_ended AFTER UPDATE OF status ON procrastinate_jobs
    FOR EACH ROW WHEN (OLD.status = 'doing' AND NEW.status <> 'doing' AND OLD.lock IS NOT NULL)
    EXECUTE FUNCTION dbhost_notify_lock_freed();
