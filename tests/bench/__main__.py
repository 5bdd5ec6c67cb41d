"""Run the benches named on the command line, or the quick ones; `--json` prints one object."""

import argparse
import json
import sys
from collections.abc import Callable

from tests.bench.backup import SCALE, backups
from tests.bench.create import a_crowd, one_create
from tests.support.stack import Stack, running_stack

QUICK: dict[str, Callable[[Stack], dict[str, float]]] = {"create": one_create, "crowd": a_crowd}
NAMES = [*QUICK, "backup"]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dbhost bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; by default {' and '.join(QUICK)}"
    )
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--scale", type=int, default=SCALE, help="of backup's pgbench database, 15 MB each")
    asked = parser.parse_args(arguments)
    names = asked.names or list(QUICK)
    if unknown := [name for name in names if name not in NAMES]:
        print(f"There is no bench {', '.join(unknown)}. Use: {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    benches = QUICK | {"backup": lambda stack: backups(stack, asked.scale)}
    with running_stack() as stack:
        figures = {name: benches[name](stack) for name in names}
    if asked.json:
        print(json.dumps(figures))
        return 0
    for name, values in figures.items():
        print(name)
        for key, value in values.items():
            print(f"  {key:22} {value:10.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
