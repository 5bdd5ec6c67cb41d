"""The embedded stack: PostgreSQL, PgBouncer, web and worker below one folder, under one supervisor."""
