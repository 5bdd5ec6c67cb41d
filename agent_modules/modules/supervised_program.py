#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep a program of a supervisord running, with the configuration that is on disk."""

from __future__ import annotations

DOCUMENTATION = r"""
module: supervised_program
short_description: Keep a program of a supervisord running, with the configuration that is on disk
description:
  - Starts the program when it does not run, and restarts it when a configuration file is newer than its process.
  - Looks at the process, not at what an earlier task changed, so that a run cut short is made good by the next.
options:
  name:
    description: The program's name.
    type: str
    required: true
  socket:
    description: The supervisor's unix socket.
    type: path
    required: true
  state:
    description: V(restarted) always gives a new process.
    type: str
    choices: [started, restarted]
    default: started
  configuration:
    description: Files that the program reads only when it starts.
    type: list
    elements: path
    default: []
  port:
    description: Port on loopback to wait for.
    type: int
  timeout_s:
    description: Seconds to wait.
    type: int
    default: 30
attributes:
  check_mode:
    support: full
requirements:
  - supervisor
author:
  - DBHost contributors
"""

EXAMPLES = r"""
- name: Ensure PgBouncer runs with this configuration
  supervised_program:
    name: pgbouncer
    socket: /srv/dbhost/run/supervisor.sock
    configuration: [/srv/dbhost/pgbouncer/pgbouncer.ini]
    port: 6432
"""

RETURN = r"""
action:
  description: What was done, or would be in check mode.
  type: str
  returned: always
  sample: none, start, restart
"""

import time
import xmlrpc.client
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.dbhost import programs
from supervisor.xmlrpc import SupervisorTransport

RUNNING = 20
STARTING = 10


def action(process: dict[str, Any], state: str, changed_at: float) -> str:
    """What to do with *process* when its configuration was last changed at *changed_at*. Pure."""
    if process["state"] not in (STARTING, RUNNING):
        return "start"
    if state == "restarted" or programs.is_outdated(process["start"], changed_at):
        return "restart"
    return "none"


def stop(supervisor: Any, name: str) -> None:
    """Stop it and see it gone. Not by the call that waits, for as long as which supervisord uses a whole processor."""
    supervisor.stopProcess(name, False)
    while supervisor.getProcessInfo(name)["pid"]:  # what does not listen is killed after its time to stop
        time.sleep(0.05)


def apply(supervisor: Any, name: str, wanted: str) -> None:
    if wanted == "restart":
        stop(supervisor, name)
    try:
        supervisor.startProcess(name, False)
    except xmlrpc.client.Fault as fault:
        if "ALREADY_STARTED" not in fault.faultString:
            raise


def wait_for(module: AnsibleModule, supervisor: Any) -> None:
    """Wait until the port answers. A start that only looks good (no port given) is for the next task to prove."""
    name, port = module.params["name"], module.params["port"]
    if port and not programs.answers_within(port, module.params["timeout_s"]):
        said = supervisor.tailProcessStdoutLog(name, 0, 2000)[0]
        module.fail_json(msg=f"{name} does not answer on port {port}", log=said)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "socket": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["started", "restarted"], "default": "started"},
            "configuration": {"type": "list", "elements": "path", "default": []},
            "port": {"type": "int"},
            "timeout_s": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    name = module.params["name"]
    changed_at = programs.newest(module.params["configuration"])
    transport = SupervisorTransport(None, None, f"unix://{module.params['socket']}")
    try:
        supervisor = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor
        process: Any = supervisor.getProcessInfo(name)
        wanted = action(process, module.params["state"], changed_at)
        if wanted != "none" and not module.check_mode:
            apply(supervisor, name, wanted)
            wait_for(module, supervisor)
    except (OSError, xmlrpc.client.Error) as error:
        module.fail_json(msg=f"The supervisor at {module.params['socket']} does not do its work for {name}: {error}")
    module.exit_json(changed=wanted != "none", action=wanted)


if __name__ == "__main__":
    main()
