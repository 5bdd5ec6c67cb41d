"""The commands of docs/operators-guide.md, as they stand there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.support.stack import CHECKOUT

GUIDE = CHECKOUT / "docs/operators-guide.md"
BLOCK = re.compile(r"^```sh ?(?P<name>[\w-]*)(?P<host> on db1)?\n(?P<script>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its name, whether it is for the host itself, its commands."""

    name: str
    on_host: bool
    script: str


def blocks() -> dict[str, Block]:
    """Every block of commands by its name; one without a name is nobody's."""
    text = GUIDE.read_text(encoding="utf-8")
    found = [Block(match["name"], bool(match["host"]), match["script"]) for match in BLOCK.finditer(text)]
    assert len(found) == text.count("\n```sh"), "a block is not written as this test reads it"
    assert all(block.name for block in found), "every block has a name after ```sh"
    return {block.name: block for block in found}
