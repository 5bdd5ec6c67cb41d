"""Real Debian 13 hosts with systemd on this machine, for `dbhost up --hosts`, molecule and end-to-end tests.

Imported by the command line and by tests alone; needs root on Debian or Ubuntu.
"""

from webapp.fleet.access import FleetHost, ssh_command
from webapp.fleet.errors import FleetError
from webapp.fleet.fleet import Fleet, HostStatus

__all__ = ["Fleet", "FleetError", "FleetHost", "HostStatus", "ssh_command"]
