"""What hosts begin with."""

from __future__ import annotations

import yaml

from tests.support.stack import CHECKOUT
from webapp.fleet import image

DEFAULTS = {"postgresql-{{ postgres_version }}": "postgresql-17"}
# Another source of PostgreSQL wants it early; it comes with PostgreSQL anyhow.
APART = {"postgresql-common"}
OF_ANSIBLE = {"python3-apt"}  # the module apt brings it


def test_the_image_has_what_roles_install() -> None:
    """One package less there, and each host would wait for apt again."""
    installed: set[str] = set()
    for file in CHECKOUT.glob("roles/*/tasks/*.yml"):
        for task in yaml.safe_load(file.read_text(encoding="utf-8")):
            names = task.get("ansible.builtin.apt", {}).get("name", [])
            installed |= {names} if isinstance(names, str) else set(names)
    installed = {DEFAULTS.get(name, name) for name in installed} - APART | OF_ANSIBLE
    assert installed - set(image.PACKAGES) == set(image.OF_ROLES)
