"""Migrations of the control database; run by `webapp.database_admin`."""
