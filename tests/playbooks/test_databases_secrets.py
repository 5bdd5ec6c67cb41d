"""No secret leaves a run of playbooks/databases.yml: not by output at any verbosity, by logs or by the process list."""

import threading
from pathlib import Path

import psycopg
import pytest

from tests.support.dataplane import verifier


class ProcessList:
    """Every command line and environment that showed up while the block lasted."""

    def __enter__(self):
        self.seen, self._over = set(), threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def __exit__(self, *_error):
        self._over.set()
        self._watch.join()

    def _look(self):
        while not self._over.wait(0.1):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        self.seen.add((process / name).read_bytes())
                    except OSError:
                        continue


def canaries():
    """A verifier, and each part of it that would give it away."""
    made = verifier("a canary's password")
    return made, [made, *made.split("$")[2].split(":")]


@pytest.mark.slow
def test_no_secret_is_in_output_logs_or_process_list(dataplane):
    (first, traces), (second, more) = canaries(), canaries()
    item = {"name": "canary-one", "verifier": first}
    bad = [{"name": "Not A Name", "verifier": first}, {"name": "canary-two", "verifier": first + "x"}]
    with dataplane.superuser() as connection:
        connection.execute('CREATE ROLE "canary-three"')
    foreign = {"name": "canary-three", "verifier": second}
    runs = []
    with ProcessList() as processes:
        runs.append(dataplane.playbook([item, *bad], "--check", "--diff", "-vvv"))
        runs.append(dataplane.playbook([item, foreign, *bad], "--diff", "-vvv"))
        runs.append(dataplane.playbook([{**item, "verifier": second}], "--diff", "-vvv"))
        runs.append(dataplane.playbook([{**item, "pool_size": "not a number"}], "--diff", "-vvv"))
        runs.append(dataplane.playbook([{"name": "canary-one", "state": "absent"}], "-vvv"))
    with dataplane.superuser() as connection:
        connection.execute('DROP ROLE "canary-three"')
    assert [run.returncode for run in runs] == [2, 2, 0, 2, 0]
    output = "".join(run.stdout + run.stderr for run in runs)
    logs = dataplane.log("postgres") + dataplane.log("pgbouncer")
    listed = b"\0".join(processes.seen).decode(errors="replace")
    assert "ansible-playbook" in listed
    for secret in traces + more:
        for place in (output, logs, listed):
            assert secret not in place


def test_a_crash_inside_postgresql_keeps_statements_out_of_its_log(dataplane):
    made, _ = canaries()
    with dataplane.superuser() as connection, pytest.raises(psycopg.Error):
        connection.execute(f"CREATE ROLE postgres PASSWORD '{made}'")
    assert made not in dataplane.log("postgres")
