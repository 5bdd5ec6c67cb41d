#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep a systemd unit enabled and running, with the configuration that is on disk."""

from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_program
short_description: Keep a systemd unit enabled and running, with the configuration that is on disk
description:
  - Enables and starts the unit, and restarts it when a configuration file or its drop-in is newer than its process.
  - Looks at the process, not at what an earlier task changed, so that a run cut short is made good by the next.
options:
  name:
    description: The unit's name.
    type: str
    required: true
  state:
    description: V(restarted) always gives a new process.
    type: str
    choices: [started, restarted]
    default: started
  enable:
    description: The unit to enable. Another one than O(name) for an instance that a generator starts.
    type: str
  configuration:
    description: Files that the unit reads only when it starts.
    type: list
    elements: path
    default: []
  port:
    description: Port on loopback to wait for.
    type: int
  timeout_s:
    description: Seconds to wait for the port.
    type: int
    default: 30
attributes:
  check_mode:
    support: full
author:
  - DBHost contributors
"""

EXAMPLES = r"""
- name: Ensure PgBouncer runs with this configuration
  systemd_program:
    name: pgbouncer.service
    configuration: [/etc/pgbouncer/pgbouncer.ini]
    port: 6432
"""

RETURN = r"""
actions:
  description: What was asked of systemd, or would be in check mode.
  type: list
  elements: str
  returned: always
  sample: [daemon-reload, enable, restart]
"""

from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dbhost import programs

PROPERTIES = ("ActiveState", "ActiveEnterTimestamp", "NeedDaemonReload")
ENABLED = frozenset({"enabled", "generated", "static", "alias"})
UP = frozenset({"active", "activating", "reloading"})


@dataclass(frozen=True)
class Unit:
    """What systemd says of the unit. *started_at*: seconds since the epoch, whole ones; 0 when it never ran."""

    running: bool
    started_at: int
    enabled: bool
    stale: bool


def observe(module: AnsibleModule, name: str, enabled_name: str) -> Unit:
    command = ["systemctl", "show", "--timestamp=unix", "--property", ",".join(PROPERTIES), name]
    said = dict(line.split("=", 1) for line in ask(module, command).splitlines() if "=" in line)
    return Unit(
        running=said.get("ActiveState") in UP,
        started_at=int(said.get("ActiveEnterTimestamp", "").lstrip("@") or 0),
        enabled=ask(module, ["systemctl", "is-enabled", enabled_name]).strip() in ENABLED,
        stale=said.get("NeedDaemonReload") == "yes",
    )


def actions(unit: Unit, state: str, changed_at: float) -> list[str]:
    """What to ask of systemd when the unit's files were last changed at *changed_at*. Pure."""
    wanted = ["daemon-reload"] if unit.stale else []
    if not unit.enabled:
        wanted.append("enable")
    if not unit.running:
        wanted.append("start")
    elif state == "restarted" or programs.is_outdated(unit.started_at, changed_at):
        wanted.append("restart")
    return wanted


def ask(module: AnsibleModule, command: list[str]) -> str:
    """The answer to a question, whatever the exit code says besides."""
    return str(module.run_command(command)[1])


def apply(module: AnsibleModule, wanted: list[str]) -> None:
    name, enabled_name = module.params["name"], module.params["enable"] or module.params["name"]
    units = {"daemon-reload": [], "enable": [enabled_name]}
    for action in wanted:
        code, _, said = module.run_command(["systemctl", "--quiet", action, *units.get(action, [name])])
        if code:
            module.fail_json(msg=f"systemctl {action} {name} failed: {said.strip()}", log=log_of(module))


def wait_for_port(module: AnsibleModule) -> None:
    name, port = module.params["name"], module.params["port"]
    if port and not programs.answers_within(port, module.params["timeout_s"]):
        module.fail_json(msg=f"{name} does not answer on port {port}", log=log_of(module))


def log_of(module: AnsibleModule) -> str:
    command = ["journalctl", "--unit", module.params["name"], "--lines", "20", "--no-pager", "--output", "cat"]
    return ask(module, command)


def newest(module: AnsibleModule) -> float:
    """When the unit's files were last changed, its own drop-ins among them."""
    drop_ins = Path(f"/etc/systemd/system/{module.params['name']}.d").glob("*.conf")
    return float(programs.newest([*module.params["configuration"], *drop_ins]))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "restarted"], "default": "started"},
            "enable": {"type": "str"},
            "configuration": {"type": "list", "elements": "path", "default": []},
            "port": {"type": "int"},
            "timeout_s": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    name = module.params["name"]
    wanted = actions(observe(module, name, module.params["enable"] or name), module.params["state"], newest(module))
    if wanted and not module.check_mode:
        apply(module, wanted)
        wait_for_port(module)
    module.exit_json(changed=bool(wanted), actions=wanted)


if __name__ == "__main__":
    main()
