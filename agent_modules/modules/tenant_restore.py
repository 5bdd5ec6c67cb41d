#!/usr/bin/python
# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Begin a restore of one tenant database."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: tenant_restore
short_description: Begin a restore of a tenant database
description:
  - Begins to load a dump as the tenant, by the OS user of dumps, and returns at once. M(tenant_job) says how it goes
    and what came of it.
  - The dump is loaded into a database of its own beside the live one, repaired, counted, and compared. Then the two are
    swapped by name, with sessions cut, or it is dropped. What fails leaves the live one as it is.
  - psql carries out no command of a dump but SQL, and that as the tenant.
  - Of a dump from elsewhere whole statements are left out that cannot hold here, about owners, rights and the like.
  - In check mode nothing begins; RV(predicted) says what would be.
options:
  restore:
    description: What to load, and what becomes of it.
    type: dict
    required: true
    suboptions:
      name:
        description: Name of the database, which is there already, and of its tenant role.
        type: str
        required: true
      into:
        description:
          - V(replace) puts what was loaded in the place of the database, V(new) does the same with one that
            M(tenant_databases) has just made, V(scratch) drops it when it was counted.
        type: str
        choices: [replace, new, scratch]
        required: true
      source:
        description: Where the dump is.
        type: dict
        required: true
        suboptions:
          kind:
            description: V(host) is the host's store, V(url) a signed address, V(file) a path on this host.
            type: str
            choices: [host, url, file]
            required: true
          folder:
            description: UUID that names the database's folder in the host's store.
            type: str
          filename:
            description: Name of the file there.
            type: str
          url:
            description: Signed address to get it from.
            type: str
          path:
            description: Path of the file. One in the folder C(incoming) of the state is removed in the end.
            type: path
          size_bytes:
            description: How long the file must be.
            type: int
          sha256:
            description: Digest that the file must have.
            type: str
          format:
            description:
              - What the file must be. By default its first bytes say so, and the file may be one from elsewhere.
            type: str
            choices: [auto, plain, plain_gzip, custom]
            default: auto
          age_identity:
            description: Secret key of age, for an encrypted file.
            type: str
          database:
            description: Which database to load, of a dump from elsewhere that holds several.
            type: str
          allow_incomplete:
            description: Load a dump from elsewhere even if it is cut off or holds nothing.
            type: bool
            default: false
      expect:
        description: Manifest that the restored database must have. A scratch database is only compared with it.
        type: dict
      generation:
        description: Version of the desired state. A restore of an older one than the host has seen is refused.
        type: int
      connection_limit:
        description: CONNECTION LIMIT of the database.
        type: int
        default: 40
      keep_replaced:
        description: Keep what was replaced aside for seven days, as C(dbhost-kept-…); else it is dropped.
        type: bool
        default: false
  data_dir:
    description: Folder on the filesystem of PostgreSQL's data.
    type: path
    required: true
  text_limit:
    description: Bytes that a dump may have when it is unpacked.
    type: int
    default: 68719476736
  database_limit:
    description: Bytes that the database may have on disk while it is loaded.
    type: int
    default: 68719476736
  disk_reserve:
    description: Bytes of PostgreSQL's filesystem that a restore leaves free.
    type: int
    default: 1073741824
extends_documentation_fragment:
  - dbhost
  - dbhost.dumps
"""

EXAMPLES = r"""
- name: Ensure the restore is begun
  tenant_restore:
    restore:
      name: shop-a1b2c3
      into: replace
      source:
        kind: host
        folder: 0b9b4c3e-6a65-4d43-9d5a-5f3f2f6a7d10
        filename: 20261124_020000.sql.gz
    state_dir: /var/lib/dbhost
    data_dir: /var/lib/postgresql
    socket_dir: /var/run/postgresql
    bin_dir: /usr/lib/postgresql/17/bin
  no_log: true
  register: begun
"""

RETURN = r"""
job:
  description: Name of what has begun, for M(tenant_job).
  returned: when something has begun
  type: str
predicted:
  description: What would be done, or why nothing could begin.
  returned: when nothing has begun
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.dbhost import dump_specs, host_options

try:
    from ansible.module_utils.dbhost import dump_options, jobs, restoring, scratch
except ImportError:
    restoring = None

OPTIONS = {
    "restore": {"type": "dict", "required": True, "options": dump_specs.RESTORE},
    "data_dir": {"type": "path", "required": True},
    "text_limit": {"type": "int", "default": 1 << 36},
    "database_limit": {"type": "int", "default": 1 << 36},
    "disk_reserve": {"type": "int", "default": 1 << 30},
    **host_options.CLUSTER,
    **host_options.DUMPS,
}


def begin(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    wanted = restoring.parse(params["restore"])
    host = restoring.Host(
        state_dir=Path(params["state_dir"]),
        user=dump_options.dump_user(params),
        data_dir=params["data_dir"],
        text_limit=params["text_limit"],
        database_limit=params["database_limit"],
        disk_reserve=params["disk_reserve"],
    )
    if check:
        restoring.require_current(host.state_dir, wanted)
        scratch.require_live(host.user.cluster, scratch.names_of(wanted.name))
        return {"manifest": None, "matches": None, "differences": [], "changes": restoring.planned(wanted)}
    return {"job": jobs.start(host.state_dir, lambda job: restoring.run(host, wanted, job, job.afterwards.append))}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(OPTIONS, supports_check_mode=True)
    if restoring is None:
        module.fail_json(msg=missing_required_lib("psycopg 3"))
    found = dump_options.guarded(lambda: begin(module.params, check=module.check_mode))
    if "job" in found:
        module.exit_json(changed=True, job=found["job"])
    module.exit_json(changed="error" not in found, predicted=found)


if __name__ == "__main__":
    main()
