"""Run the benches named on the command line, or all; `--json` prints one object."""

import json
import sys
from collections.abc import Callable

from tests.bench.create import a_crowd, one_create
from tests.support.stack import Stack, running_stack

BENCHES: dict[str, Callable[[Stack], dict[str, float]]] = {"create": one_create, "crowd": a_crowd}


def main(arguments: list[str]) -> int:
    names = [argument for argument in arguments if argument != "--json"] or list(BENCHES)
    if unknown := [name for name in names if name not in BENCHES]:
        print(f"There is no bench {', '.join(unknown)}. Use: {', '.join(BENCHES)}.", file=sys.stderr)
        return 2
    with running_stack() as stack:
        figures = {name: BENCHES[name](stack) for name in names}
    if "--json" in arguments:
        print(json.dumps(figures))
        return 0
    for name, values in figures.items():
        print(name)
        for key, value in values.items():
            print(f"  {key:22} {value:10.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
