"""The `dbhost` command."""
