"""Which backups are over: past their time, and never the last good one of a database that lives."""

from sqlalchemy import text
from sqlalchemy.orm import Session

# Two hours more: nothing goes before its time even when the clock is an hour ahead.
EXPIRE = text("""
    UPDATE backups SET state = 'deleting'
    WHERE id IN (
        SELECT backup.id FROM backups AS backup JOIN databases ON databases.id = backup.database_id
        WHERE backup.state IN ('available', 'failed') AND backup.expires_at < now() - interval '2 hours'
          AND NOT EXISTS (
              SELECT FROM operations WHERE operations.database_id = backup.database_id
              AND lane = 'long' AND state IN ('queued', 'running')
          )
          AND NOT EXISTS (SELECT FROM final_backups WHERE final_backups.backup_id = backup.id)
          AND (backup.state = 'failed' OR databases.deleted_at IS NOT NULL OR EXISTS (
              SELECT FROM backups AS newer
              WHERE newer.database_id = backup.database_id AND newer.state = 'available'
              AND newer.drill_error IS NULL AND newer.filename > backup.filename
          ))
        ORDER BY backup.expires_at LIMIT :limit FOR UPDATE OF backup SKIP LOCKED
    )
    RETURNING id
""")
# What can come back no more is forgotten: the password, who was a member, which networks were let in.
FORGET = text("""
    WITH over AS (
        UPDATE databases SET verifier = NULL, password_encrypted = NULL
        WHERE deleted_at < now() - interval '2 hours'
          AND NOT EXISTS (SELECT FROM backups WHERE backups.database_id = databases.id AND state = 'available')
          AND NOT EXISTS (SELECT FROM final_backups WHERE final_backups.database_id = databases.id)
          AND (password_encrypted IS NOT NULL OR EXISTS (SELECT FROM members WHERE database_id = databases.id)
               OR EXISTS (SELECT FROM allowlist_entries WHERE database_id = databases.id))
        RETURNING id
    ), left_members AS (DELETE FROM members USING over WHERE members.database_id = over.id),
       left_networks AS (DELETE FROM allowlist_entries USING over WHERE allowlist_entries.database_id = over.id)
    SELECT count(*) FROM over
""")


def expire(session: Session, limit: int = 200) -> int:
    """Mark what is over for deletion; a database that is being restored or cloned from keeps all it has for now."""
    return len(session.execute(EXPIRE, {"limit": limit}).all())


def forget_deleted(session: Session) -> int:
    """Erase what was kept of deleted databases for their return, once no backup of them is left."""
    return session.scalar(FORGET) or 0
