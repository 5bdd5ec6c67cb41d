"""Modules are imported here as a host runs them: with our module_utils beside Ansible's own."""

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).parents[3] / "agent_modules" / "module_utils"))
