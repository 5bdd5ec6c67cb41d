"""What a playbook's process may know: the variables of ARCHITECTURE.md, and no secret of the control plane."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PLAYBOOKS = CHECKOUT / "playbooks"
PLAYBOOK = PLAYBOOKS / "databases.yml"
ROLES = CHECKOUT / "roles"
FRONT = Path(__file__).with_name("front.py")
PIDS = "pids"
# The audit log has what the worker does: nothing of it belongs into the journals of hosts.
RECORDED_VARIABLE = "DBHOST_RUN_RECORDED"
PIDS_VARIABLE = "DBHOST_RUN_PIDS"

PASSED = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "TZ", "SSH_AUTH_SOCK", "LD_LIBRARY_PATH", "VIRTUAL_ENV"}
PASSED_PREFIXES = ("LC_", "ANSIBLE_", "AWX_", "RUNNER_", "DBHOST_")
SECRET_WORDS = ("SECRET", "PASSWORD", "KEYS", "TOKEN", "_FILE")

# Also what the fork server is started with: Ansible reads these when it is imported.
FIXED = {
    "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
    "ANSIBLE_NO_TARGET_SYSLOG": "true",
    "ANSIBLE_NOCOLOR": "true",
    "ANSIBLE_HOST_KEY_CHECKING": "true",
    "ANSIBLE_RETRY_FILES_ENABLED": "False",
    "MAX_EVENT_RES": "100000000",
    "PYTHONUNBUFFERED": "1",
}


def passes(name: str) -> bool:
    """Whether a variable of the worker reaches its playbooks."""
    if any(word in name for word in SECRET_WORDS):
        return False
    return name in PASSED or name.startswith(PASSED_PREFIXES)


def of_playbooks(prepared: Mapping[str, str]) -> dict[str, str]:
    """What *prepared* has for playbooks, with what is the same for all of them."""
    return {name: value for name, value in prepared.items() if passes(name)} | FIXED


def of_run(prepared: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment of one run, as ansible-runner *prepared* it."""
    own = {PIDS_VARIABLE: str(folder / PIDS), RECORDED_VARIABLE: "1"}
    return of_playbooks(prepared) | own


def ansible_playbook() -> str:
    """The command beside this interpreter."""
    return str(Path(sys.executable).parent / "ansible-playbook")


def front() -> list[str]:
    """What ansible-runner starts in front of `ansible-playbook`, isolated so that it starts in 15 ms."""
    return [sys.executable, "-I", "-S", str(FRONT)]


def inventory(setting: str) -> Path:
    """The inventory of the settings; a relative one is the checkout's."""
    return (CHECKOUT / setting).resolve()


def forget_secrets() -> None:
    """Take the secrets out of this process's environment, once the settings have read them."""
    for name in [name for name in os.environ if name != "PATH" and not passes(name) and looks_secret(name)]:
        del os.environ[name]


def looks_secret(name: str) -> bool:
    """Whether a variable may hold a secret or the way to one."""
    return name == "DATABASE_URL" or any(word in name for word in SECRET_WORDS)
