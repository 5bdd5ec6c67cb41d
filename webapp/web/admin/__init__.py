"""The admin panel: pages below /admin for platform admins, one file each. docs/admin.md"""

from flask import Blueprint

from webapp.web.admin import drift, hosts, overview, users

BLUEPRINTS: tuple[Blueprint, ...] = (
    overview.blueprint,
    users.blueprint,
    hosts.blueprint,
    drift.blueprint,
)
