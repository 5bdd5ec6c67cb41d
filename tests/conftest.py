"""Fixtures that every test may use."""

pytest_plugins = [
    "tests.support.apps",
    "tests.support.chromium",
    "tests.support.control",
    "tests.support.dataplane",
    "tests.support.distribution",
    "tests.support.passwords",
    "tests.worker.fixtures",
]
