"""The admin panel: pages below /admin for platform admins, one file each. docs/admin.md"""

from flask import Blueprint

from webapp.web.admin import audit, databases, drift, hosts, operations, overview, settings, users

BLUEPRINTS: tuple[Blueprint, ...] = (
    overview.blueprint,
    users.blueprint,
    databases.blueprint,
    hosts.blueprint,
    drift.blueprint,
    operations.blueprint,
    audit.blueprint,
    settings.blueprint,
)
