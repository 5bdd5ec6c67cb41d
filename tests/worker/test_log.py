"""Log lines are JSON where nobody watches, whoever wrote them."""

import json
import subprocess
import sys

PROGRAM = """
import logging, structlog
from webapp import log
log.configure()
structlog.get_logger("mine").info("run_started", run_id="r1")
structlog.contextvars.bind_contextvars(operation_id="o1")
logging.getLogger("theirs").warning("something %s", "odd")
logging.getLogger("procrastinate.worker").info("not worth a line")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("mine").exception("run_crashed")
"""


def test_every_line_is_one_json_object() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    first, second, third = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["event"], first["run_id"], first["level"], first["logger"]) == ("run_started", "r1", "info", "mine")
    assert (second["event"], second["operation_id"], second["level"]) == ("something odd", "o1", "warning")
    assert third["event"] == "run_crashed"
    assert "ZeroDivisionError" in third["exception"]
    assert done.stderr == ""
