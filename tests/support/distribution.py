"""How tests are dealt out to processes: together where they share what takes long to start, the longest first."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ONE_STACK_OR_SITE = ("tests/stack", "tests/browser")
A_STACK_EACH = ("tests/embedded/test_stack.py", "tests/stack/test_upload_memory.py")
# As long as a quarter of its folder: on another process than that, it has a stack of its own.
APART = ("tests/faults/test_random.py",)
LONGEST = ("tests/stack", "tests/embedded/test_running_stack.py", "tests/stack/test_upload_memory.py", *APART)


def scope(nodeid: str) -> str:
    """What runs in one process: a folder with one stack or site for all, a file, or a test that starts its own."""
    file = nodeid.partition("::")[0]
    if file in A_STACK_EACH:
        return nodeid
    folder = file.rpartition("/")[0]
    return folder if folder in ONE_STACK_OR_SITE and file not in APART else file


def rank(item: pytest.Item) -> int:
    """Where its scope stands among the longest; after them, all others are alike."""
    group = scope(item.nodeid).partition("::")[0]
    return LONGEST.index(group) if group in LONGEST else len(LONGEST)


class Together(LoadScopeScheduling):
    """Deals out scopes. xdist's own groups need an item's private name, which pytest no longer has."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """For `--dist loadscope`; every other way is xdist's."""
    return Together(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what would otherwise be what all wait for in the end."""
    items.sort(key=rank)
