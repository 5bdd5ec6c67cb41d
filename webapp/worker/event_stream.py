"""The events of a run as ansible-runner's streaming format, written to a socket instead of a file for each.

In a child of the fork server: ansible-runner's own callback makes the events, and what this writes is read by
`ansible_runner.streaming.Processor`. https://ansible.readthedocs.io/projects/runner/en/stable/remote_jobs/
"""

import json
import os
import sys
from typing import Any

CALLBACK = "ansible.plugins.callback.awx_display"
NO_OUTPUT = {"stdout": "", "start_line": 0, "end_line": 0}


class EventStream:
    """Takes the place of the callback's folder of event files."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._encoder = sys.modules[CALLBACK].AnsibleJSONEncoderLocal
        self._count = 0

    def set(self, _key: str, event: dict[str, Any]) -> None:
        """One event; the name and the arguments are those that the callback uses."""
        self._count += 1
        self.write({"counter": self._count, **NO_OUTPUT, **event})

    def write(self, line: dict[str, Any]) -> None:
        """One line, however large: a report may have megabytes."""
        data = memoryview(json.dumps(line, cls=self._encoder).encode() + b"\n")
        while data:
            data = data[os.write(self._descriptor, data) :]

    def begin(self) -> None:
        self.write({"status": "starting"})
        self.write({"status": "running"})

    def end(self, code: int) -> None:
        self.write({"status": "successful" if code == 0 else "failed"})
        self.write({"eof": True})


def install(descriptor: int) -> EventStream:
    """Let the callback's events go to *descriptor*, and nothing into the text that nobody reads."""
    callback = sys.modules[CALLBACK]
    stream = EventStream(descriptor)
    callback.event_context.cache = stream
    callback.EventContext.dump = lambda *_arguments, **_options: None
    return stream
