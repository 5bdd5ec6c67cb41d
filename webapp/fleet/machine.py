"""One running host: systemd-nspawn with a real init in it; switched on, off, rebooted, and cut off its power."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from webapp.fleet import cgroups, layer, network, processes
from webapp.fleet.errors import FleetError
from webapp.fleet.names import FleetNames

# What systemd as init takes these for; see systemd(1), "Signals".
POWER_OFF = signal.SIGRTMIN + 4
REBOOT = signal.SIGRTMIN + 5
ASK_AGAIN_S = 1.0
POLL_S = 0.05


@dataclass(frozen=True)
class Machine:
    """The host *number* of a fleet."""

    names: FleetNames
    number: int

    @property
    def hostname(self) -> str:
        return f"db{self.number}"

    @property
    def folder(self) -> Path:
        """Its disk and its console's log."""
        return self.names.folder / "hosts" / self.hostname

    @property
    def cgroup(self) -> str:
        return f"{self.names.cgroup}/{self.hostname}"

    @property
    def log_file(self) -> Path:
        return self.folder / "console.log"

    def is_running(self) -> bool:
        return cgroups.is_populated(f"{self.cgroup}/machine")

    def init_pid(self) -> int | None:
        """The process id, as this machine sees it, of the host's init."""
        scope = cgroups.processes(f"{self.cgroup}/machine/payload/init.scope")
        return next((pid for pid in scope if is_init(pid)), None)

    def switch_on(self) -> None:
        """Boot; returns at once. What a power cut left of the last run is cleared first."""
        cgroups.remove(self.cgroup)
        network.remove_link(self.names, self.number)
        inner = " ".join(str(folder) for folder in cgroups.make(f"{self.cgroup}/machine"))
        image = layer.image_below(self.folder)
        boot = ["sh", str(processes.SCRIPTS / "boot.sh"), str(image), str(self.folder), processes.JOIN]
        processes.start(
            f"{self.cgroup}/watch",
            *boot,
            "--",
            *self._nspawn(),
            log_file=self.log_file,
            DBHOST_MACHINE_CGROUPS=inner,
            SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1",  # Debian 13's systemd refuses to start on the old one
        )

    def _nspawn(self) -> list[str]:
        return [
            "systemd-nspawn",
            "--quiet",
            "--boot",
            "--register=no",  # no machined needed, and none told
            "--keep-unit",
            f"--directory={self.folder / 'root'}",
            f"--machine={self.names.machine(self.number)}",
            f"--hostname={self.hostname}",
            f"--network-bridge={self.names.bridge}",
            "--capability=CAP_NET_ADMIN",  # nftables
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--console=read-only",
        ]

    def ask_to_stop(self) -> None:
        """Ask the host's init to power off. One that is only just starting may miss it, so ask again."""
        self._tell_init(POWER_OFF)

    def wait_stopped(self, timeout_s: float) -> None:
        """Go on asking until all has ended; past *timeout_s* the power is cut."""
        deadline = time.monotonic() + timeout_s
        while self.is_running() and time.monotonic() < deadline:
            self.ask_to_stop()
            cgroups.wait_empty(self.cgroup, ASK_AGAIN_S)
        self.cut_power()

    def cut_power(self) -> None:
        """Kill init and all else at once: nspawn alone would leave orphans. The disk stays as it is."""
        cgroups.remove(self.cgroup)
        network.remove_link(self.names, self.number)

    def ask_to_reboot(self, timeout_s: float) -> None:
        """Reboot as `systemctl reboot` would; returns when the new init runs."""
        before = self.init_pid()
        if before is None:
            raise FleetError(f"{self.hostname} is not running.")
        self._tell_init(REBOOT)
        deadline = time.monotonic() + timeout_s
        while self.init_pid() in (None, before):
            if time.monotonic() > deadline:
                raise FleetError(f"{self.hostname} did not reboot within {timeout_s:.0f} s; see {self.log_file}.")
            time.sleep(POLL_S)

    def _tell_init(self, what: int) -> None:
        init = self.init_pid()
        if init is not None:
            with suppress(ProcessLookupError):
                os.kill(init, what)


def is_init(pid: int) -> bool:
    """Whether the process is number 1 of its own namespace. The lowest number says nothing once numbers wrap around."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False
    return any(line.startswith("NSpid:") and line.split()[-1] == "1" for line in status.splitlines())
