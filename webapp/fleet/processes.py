"""Start what outlives the command: in its own cgroups from its first moment on, in a mount namespace of its own."""

from __future__ import annotations

import os
from pathlib import Path

from webapp.fleet import cgroups
from webapp.fleet.commands import launch, run

SCRIPTS = Path(__file__).parent
JOIN = str(SCRIPTS / "join.sh")
# Nothing of the caller's environment but these: a host must not depend on who started it.
KEPT = ("http_proxy", "https_proxy", "no_proxy")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {"PATH": PATH, "LANG": "C.UTF-8", **kept, **more}


def _contained(cgroup: str, argv: tuple[str, ...]) -> list[str]:
    folders = [str(folder) for folder in cgroups.make(cgroup)]
    return ["sh", JOIN, *folders, "--", "unshare", "--mount", "--propagation", "private", *argv]


def start(cgroup: str, *argv: str, log_file: Path, **more: str) -> None:
    """Start *argv* in *cgroup* and leave it running."""
    launch(*_contained(cgroup, argv), environment=environment(**more), log_file=log_file)


def run_to_end(cgroup: str, *argv: str, timeout_s: float) -> str:
    """Run *argv* in *cgroup*, so that a teardown finds it also when the caller was killed, and leave no cgroup."""
    try:
        return run(*_contained(cgroup, argv), environment=environment(), timeout_s=timeout_s)
    finally:
        cgroups.remove(cgroup)
