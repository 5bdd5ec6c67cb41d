"""`dbhost databases` with all that can be done to one of them."""

from webapp.cli.allowlist import allowlist
from webapp.cli.backup_schedule import protect
from webapp.cli.backups import clone, deleted, undelete
from webapp.cli.client import databases
from webapp.cli.members import members, transfer
from webapp.cli.moves import move
from webapp.cli.psql import connect, psql

for command in (allowlist, clone, connect, deleted, members, move, protect, psql, transfer, undelete):
    databases.add_command(command)
