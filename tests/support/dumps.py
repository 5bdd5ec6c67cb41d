"""Take and load dumps on a test's data plane by the code that the modules run, without Ansible."""

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_modules.module_utils.dbhost import dump_batches, dumping, restoring
from agent_modules.module_utils.dbhost.dump_user import DumpUser
from agent_modules.module_utils.dbhost.errors import TenantError
from agent_modules.module_utils.dbhost.jobs import Progress
from agent_modules.module_utils.dbhost.postgres import Cluster
from tests.support.dataplane import PROVISIONER, DataPlane
from tests.support.servers import postgres_tool

FILENAME = "20261124_020000.sql.gz"
# Of the tenant that tests dump.
ROWS = 20_000


def cluster(plane: DataPlane) -> Cluster:
    """The data plane's cluster, as the modules know it."""
    return Cluster(str(plane.socket_dir), plane.postgres_port, PROVISIONER)


def dump_user(plane: DataPlane, **changes: Any) -> DumpUser:
    """The OS user of dumps on this data plane."""
    bin_dir = str(Path(postgres_tool("pg_dump")).parent)
    return DumpUser(**{"name": plane.dump_user, "bin_dir": bin_dir, "cluster": cluster(plane), "major": 18, **changes})


def progress(plane: DataPlane) -> Progress:
    """Progress of a job that somebody looks at."""
    path = plane.folder / f"job-{uuid.uuid4().hex}"
    path.write_text("{}")
    os.utime(path, (time.time() + 3600, time.time()))
    return Progress(path)


def folder() -> str:
    """A database's folder that no other test has."""
    return str(uuid.uuid4())


def wanted(name: str, **changes: Any) -> dumping.Backup:
    """A backup to take."""
    item = {"name": name, "folder": folder(), "filename": FILENAME, "store": "host", **changes}
    return dumping.parse(item)


def back_up(plane: DataPlane, backup: dumping.Backup, **user: Any) -> dict[str, Any]:
    """Take *backup*; raises TenantError."""
    return dumping.run(plane.state_dir, dump_user(plane, **user), backup, progress(plane))


def back_up_all(plane: DataPlane, listed: list[dumping.Backup]) -> dict[str, Any]:
    """Take them all in one job."""
    items = [{"name": one.name, "folder": one.folder, "filename": one.filename, "store": "host"} for one in listed]
    return dump_batches.run(plane.state_dir, dump_user(plane), items, 2, progress(plane))


def path(plane: DataPlane, backup: dumping.Backup) -> Path:
    """Where the file of *backup* is."""
    return plane.state_dir / "backups" / backup.folder / backup.filename


def restore(plane: DataPlane, name: str, source: dict[str, Any], into: str = "replace", **item: Any) -> dict[str, Any]:
    """Load a dump, with small limits; what the report says."""
    limits = {name: item.pop(name) for name in ("text_limit", "database_limit", "disk_reserve") if name in item}
    later = item.pop("later", None)
    host = restoring.Host(
        **{
            "state_dir": plane.state_dir,
            "user": dump_user(plane),
            "data_dir": str(plane.data_dir),
            "text_limit": 1 << 30,
            "database_limit": 1 << 30,
            "disk_reserve": 1 << 20,
            **limits,
        }
    )
    wanted = restoring.parse({"name": name, "into": into, "source": source, **item})
    return restoring.run(host, wanted, progress(plane), later)


def kept(backup: dumping.Backup, made: dict[str, Any]) -> dict[str, Any]:
    """The source of a backup that was taken into the host's store."""
    place = {"folder": backup.folder, "filename": backup.filename}
    return {"kind": "host", **place, "size_bytes": made["size_bytes"], "sha256": made["sha256"]}


def uploaded(plane: DataPlane, data: bytes) -> dict[str, Any]:
    """The source of a file that came from somebody."""
    path = plane.folder / f"upload-{uuid.uuid4().hex}"
    path.write_bytes(data)
    return {"kind": "file", "path": str(path)}


def archive(plane: DataPlane, tenant: Any, *options: str) -> bytes:
    """What a person's own pg_dump makes, by their connection string."""
    command = [postgres_tool("pg_dump"), *options, plane.url(tenant.name, tenant.password)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def psql(plane: DataPlane, tenant: Any, text: bytes) -> None:
    """Load *text* as a person does, by their connection string."""
    command = [postgres_tool("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", plane.url(tenant.name, tenant.password)]
    subprocess.run(command, check=True, capture_output=True, input=text)


def exists(path: str) -> bool:
    """Whether there is a file at *path*."""
    return Path(path).exists()


def refused(plane: DataPlane, backup: dumping.Backup, **user: Any) -> TenantError:
    """Why *backup* is not taken."""
    with pytest.raises(TenantError) as caught:
        back_up(plane, backup, **user)
    return caught.value


def programs_of(plane: DataPlane, name: str) -> Iterator[int]:
    """Processes of *name* that speak to this data plane."""
    mark = f"PGHOST={plane.socket_dir}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "comm").read_text().strip() == name and mark in (entry / "environ").read_bytes():
                yield int(entry.name)
        except OSError:
            continue
