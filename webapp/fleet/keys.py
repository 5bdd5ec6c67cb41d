"""Key pairs: the administrator's, the worker's, and each host's, made here so that none is trusted at first sight."""

from __future__ import annotations

from pathlib import Path

from webapp.fleet.commands import run


def ensure_key(file: Path, comment: str) -> Path:
    """An ed25519 key pair at *file* and *file*.pub, made together or not at all."""
    public = file.with_name(f"{file.name}.pub")
    if not public.exists():
        file.unlink(missing_ok=True)  # ssh-keygen writes the private half first
        file.parent.mkdir(parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(file))
    return file


def public_half(file: Path) -> str:
    return file.with_name(f"{file.name}.pub").read_text().strip()


def known_hosts_line(address: str, host_key: Path) -> str:
    kind, key = public_half(host_key).split()[:2]
    return f"{address} {kind} {key}\n"
