"""What a host is short of: with it, the host keeps its databases and gets no new one."""

from webapp.services.reports import Disk, Report

# Free on a filesystem, in bytes; on small ones a tenth.
DISK_AT_LEAST = 2 * 1024**3
DISK_PART = 0.1
MEMORY_PART = 0.03
CONNECTIONS_PART = 0.9


def short_of(report: Report) -> str | None:
    """`disk`, `memory` or `connections`, the first that *report* shows to be nearly used up; else None."""
    if any(map(_is_full, report.disks or ())):
        return "disk"
    memory, postgres = report.memory, report.postgres
    if memory is not None and memory.available_bytes < memory.total_bytes * MEMORY_PART:
        return "memory"
    if postgres is not None and postgres.connections > postgres.max_connections * CONNECTIONS_PART:
        return "connections"
    return None


def _is_full(disk: Disk) -> bool:
    return disk.free_bytes < min(DISK_AT_LEAST, disk.total_bytes * DISK_PART)
