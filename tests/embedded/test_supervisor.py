"""Programs are stopped without the call that waits, for as long as which supervisord uses a whole processor."""

import xmlrpc.client

from webapp.embedded import supervisor


class Supervisord:
    """Its answers for one program that needs three looks to end."""

    def __init__(self, *, runs: bool = True) -> None:
        self.runs, self.asked = runs, []
        self.pids = [7, 7, 0] if runs else [0]

    def stopProcess(self, name: str, wait: bool = True) -> bool:  # as supervisord calls it
        self.asked.append((name, wait))
        if not self.runs:
            raise xmlrpc.client.Fault(70, f"NOT_RUNNING: {name}")
        return True

    def getProcessInfo(self, _name: str) -> dict[str, int]:
        return {"pid": self.pids.pop(0)}


def test_it_is_seen_gone_without_the_call_that_waits() -> None:
    answers = Supervisord()
    supervisor.stop_program(answers, "web")
    assert (answers.asked, answers.pids) == ([("web", False)], [])


def test_what_does_not_run_is_no_error() -> None:
    answers = Supervisord(runs=False)
    supervisor.stop_program(answers, "web")
    assert answers.asked == [("web", False)]
