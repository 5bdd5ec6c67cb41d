"""A fleet of two hosts for the tests of this folder, and a look at what a fleet leaves on the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.support import Machine
from webapp.fleet import Fleet
from webapp.fleet.fleet import IMAGES_VARIABLE

# Kept between runs: making the image takes longer than all the tests.
IMAGES = Path(os.environ.get(IMAGES_VARIABLE) or Path.home() / ".cache/dbhost/images")


@pytest.fixture(scope="session")
def images() -> Path:
    return IMAGES


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Iterator[Fleet]:
    """Hosts db1 and db2, running; gone afterwards."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"), images=images)
    try:
        fleet.up(2)
        yield fleet
    finally:
        fleet.down(purge=True)


@pytest.fixture
def machine() -> Machine:
    """This machine as it is before the test."""
    return Machine.now()
