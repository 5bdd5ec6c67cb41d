"""A host's own disk: the overlay layer above the image, with what makes this host differ from its neighbours."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from webapp.fleet import keys
from webapp.fleet.errors import FleetError

ADMIN_ID = 1000  # dbhost-admin, as image.sh makes it
ABOVE = "image"  # the file that names it
NETWORK = """\
[Match]
Name=host0

[Network]
Address={address}/{prefix_length}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""


@dataclass(frozen=True)
class Identity:
    """What one host must know of itself."""

    hostname: str
    address: IPv4Address
    prefix_length: int
    proxy_url: str
    host_key: Path
    admin_key: Path


def ensure_layer(folder: Path, identity: Identity, image: Path) -> None:
    """Make the layer above *image* once. Later changes are the host's own, as on any disk."""
    if (folder / ABOVE).exists():
        return
    for name in ("upper", "work", "root"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _require_overlay(folder)
    for path, (text, mode) in _files(identity).items():
        _place(folder / "upper", path, text, mode)
    _own_home(folder / "upper/home/dbhost-admin")
    (folder / ABOVE).write_text(f"{image}\n")  # last: a layer without it is made again


def image_below(folder: Path) -> Path:
    """The image that the layer was made above: a newer one would not fit below it."""
    image = Path((folder / ABOVE).read_text().strip())
    if not image.is_dir():
        raise FleetError(f"The image of this host is gone: {image}. `./dbhost down --purge` removes its disk too.")
    return image


def _require_overlay(folder: Path) -> None:
    """An overlay cannot have its upper layer on another overlay, as inside most containers."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    under = [(point, kind) for _, point, kind, *_ in mounts if folder.is_relative_to(point)]
    if max(under, key=lambda mount: len(mount[0]))[1] == "overlay":
        raise FleetError(f"{folder} lies on an overlay filesystem. Set DBHOST_HOME to a folder on a disk or a tmpfs.")


def _files(identity: Identity) -> dict[str, tuple[str, int]]:
    name = identity.hostname
    network = NETWORK.format(address=identity.address, prefix_length=identity.prefix_length)
    return {
        "etc/hostname": (f"{name}\n", 0o644),
        "etc/hosts": (f"127.0.0.1 localhost\n::1 localhost\n{identity.address} {name}\n", 0o644),
        "etc/machine-id": (f"{uuid.uuid4().hex}\n", 0o444),
        "etc/systemd/network/10-host0.network": (network, 0o644),
        "etc/apt/apt.conf.d/90dbhost-fleet": (f'Acquire::http::Proxy "{identity.proxy_url}";\n', 0o644),
        "etc/ssh/ssh_host_ed25519_key": (identity.host_key.read_text(), 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (f"{keys.public_half(identity.host_key)}\n", 0o644),
        "home/dbhost-admin/.ssh/authorized_keys": (f"{keys.public_half(identity.admin_key)}\n", 0o600),
    }


def _place(upper: Path, path: str, text: str, mode: int) -> None:
    """Write a file; its folders get the image's usual mode whatever the caller's umask, as they hide those below."""
    file = upper / path
    missing = [folder for folder in file.parents if folder != upper and folder.is_relative_to(upper)]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    upper.chmod(0o755)
    file.write_text(text)
    file.chmod(mode)


def _own_home(home: Path) -> None:
    for path in (home, home / ".ssh"):
        path.chmod(0o700)
    for path in (home, *home.rglob("*")):
        os.chown(path, ADMIN_ID, ADMIN_ID)
