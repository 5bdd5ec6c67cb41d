"""The settings in force, and the plans."""

from flask import render_template

from webapp.http import resources
from webapp.services import plans, settings_in_force
from webapp.web.admin.shell import admin_pages

blueprint = admin_pages("settings", "/settings")


@blueprint.get("")
def index() -> str:
    """Every variable with its value, secrets only as set or not."""
    found = settings_in_force.in_force(resources().settings)
    return render_template("admin/settings.html", settings=found, plans=plans.all_plans())
