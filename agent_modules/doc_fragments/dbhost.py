# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that several of our modules document alike; `module_utils/dbhost/host_options.py` has them as code."""

from __future__ import annotations


class ModuleDocFragment:
    """Named C(dbhost), C(dbhost.dumps) and C(dbhost.tenants) by the modules that use them."""

    DOCUMENTATION = r"""
options:
  socket_dir:
    description: Folder of PostgreSQL's socket.
    type: path
    required: true
  port:
    description: Port of PostgreSQL.
    type: int
    default: 5432
  provisioner:
    description: The role that does the work, or looks.
    type: str
    default: dbhost_provisioner
requirements:
  - psycopg >= 3.1
author: DBHost contributors
"""

    DUMPS = r"""
options:
  state_dir:
    description: Folder of the host's own state; the store of backups is below it.
    type: path
    required: true
  dump_user:
    description: OS user that C(pg_dump) and C(psql) run as.
    type: str
    default: dbhost_dump
  dump_socket:
    description: Where that user's programs are asked for by everybody but root and that user.
    type: path
  bin_dir:
    description: Folder of C(pg_dump) and C(psql).
    type: path
    required: true
attributes:
  check_mode:
    support: full
"""

    TENANTS = r"""
options:
  databases:
    description: The databases to converge.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the database and of its tenant role; 3 to 50 small letters, digits and hyphens.
        type: str
        required: true
      generation:
        description:
          - Version of this desired state. One that is older than the host has seen is refused.
          - Without it, nothing is refused, as for a file that an operator keeps by hand.
        type: int
      state:
        description:
          - V(stopped) keeps the data and lets nobody in. V(absent) drops the database and its role.
          - V(closed) cuts clients and lets none in, and the OS user of dumps still gets in.
        type: str
        choices: [present, stopped, closed, absent]
        default: present
      verifier:
        description: SCRAM-SHA-256 secret of the tenant role's password. Needed unless O(databases[].state=absent).
        type: str
      connection_limit:
        description: CONNECTION LIMIT of the role and of the database. M(pgbouncer_tenants) does not look at it.
        type: int
        default: 40
      pool_size:
        description:
          - Server connections that PgBouncer opens at most for this database at the pooled door, for all its users.
          - M(tenant_databases) looks at nothing that is PgBouncer's.
        type: int
        default: 25
      direct_pool_size:
        description:
          - Sessions that are open at once at the direct door, where each has a server connection of its own.
          - What is left of O(databases[].connection_limit) beside both is for dumps and restores.
        type: int
        default: 10
      pool_mode:
        description: How long a client of the pooled door keeps a server connection.
        type: str
        choices: [transaction, session]
        default: transaction
      networks:
        description: CIDRs from which clients of PgBouncer may come. Empty means from everywhere.
        type: list
        elements: str
        default: []
      disconnect:
        description: Cut every client of PgBouncer once for this generation (without a generation, at each run).
        type: bool
        default: false
      repair_ownership:
        description: Give objects in the database that other roles own to the tenant role, where the provisioner may.
        type: bool
        default: false
      held_as:
        description:
          - Of an absent database, the name (C(dbhost-held-) and 16 hexadecimal digits) under which it is kept aside for
            its last backup instead of being dropped. Drop it by that name afterwards.
          - Of any other, bring back what is kept aside under this name, if the database is not there.
          - M(pgbouncer_tenants) does not look at it.
        type: str
      read_only:
        description:
          - Transactions in the database begin read-only, for every role; C(BEGIN READ WRITE) still writes, so that a
            full database can be emptied. Sessions keep what they began with, so disconnect them once.
        type: bool
        default: false
      members:
        description:
          - Roles of people's own, each named by the database's name, a dot and 8 small letters or digits.
          - Admins and developers work as the tenant role, viewers read what it has. Roles that are not listed go.
          - PgBouncer lets them in as it does the tenant role, from the same networks. A change that shuts one of them
            out cuts every client of the database once.
        type: list
        elements: dict
        default: []
        suboptions:
          role:
            description: Name of the role.
            type: str
            required: true
          level:
            description: What the member may do.
            type: str
            choices: [admin, developer, viewer]
            required: true
          verifier:
            description: SCRAM-SHA-256 secret of the role's password.
            type: str
            required: true
  allow_reserved:
    description: Let in the reserved name of the control plane's own database.
    type: bool
    default: false
  state_dir:
    description: Folder of the host's own desired state and of its lock.
    type: path
    required: true
"""
