"""What `ansible-playbook -v` printed, read by a test."""

import json
from typing import Any


def told(output: str, task: str) -> dict[str, Any]:
    """The last result of *task*; tasks that are polled have several."""
    text = output[output.rindex(task) :]
    found: dict[str, Any] = json.JSONDecoder().raw_decode(text[text.rindex("=> {") + 3 :])[0]
    return found
