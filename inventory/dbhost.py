#!/usr/bin/env python3
"""Ansible's dynamic inventory: the hosts that the control database knows, reached as the worker reaches them.

    ansible-playbook -i inventory/dbhost.py playbooks/report.yml -l db1

Groups: database_hosts, control_plane (the embedded host), region_<name>. No secret is in it.
"""

import os
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
ENVIRONMENT = CHECKOUT / ".venv"

# Ansible starts this with whatever python3 comes first; the packages are in the environment that ./dbhost made.
if (ENVIRONMENT / "bin/python").exists() and Path(sys.prefix) != ENVIRONMENT:
    os.execv(ENVIRONMENT / "bin/python", [ENVIRONMENT / "bin/python", "-P", __file__, *sys.argv[1:]])  # noqa: S606

sys.path.insert(0, str(CHECKOUT))

from webapp import inventory_script  # noqa: E402

inventory_script.main(sys.argv[1:])
