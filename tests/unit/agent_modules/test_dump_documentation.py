"""The modules of dumps: documentation, options in code and the roles' signatures say the same."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_modules.module_utils.dbhost import dump_specs
from tests.unit.agent_modules.test_documentation import documented

CHECKOUT = Path(__file__).parents[3]
SPOKEN = {"description", "no_log"}


def plain(options: dict[str, Any]) -> dict[str, Any]:
    """Options without words for people, whatever the level's name for those below."""
    found = {}
    for name, option in options.items():
        below = option.get("suboptions") or option.get("options")
        kept = {key: value for key, value in option.items() if key not in {*SPOKEN, "suboptions", "options"}}
        found[name] = kept | ({"below": plain(below)} if below else {})
    return found


def secrets(options: dict[str, Any]) -> set[str]:
    """The names of what must not be shown."""
    below = [option.get("options") or {} for option in options.values()]
    return {name for name, option in options.items() if option.get("no_log")}.union(*map(secrets, below))


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_a_module_documents_what_it_takes(name: str) -> None:
    options = dict(documented(f"tenant_{name}"))["DOCUMENTATION"]["options"]
    spec = {"backup": dump_specs.BACKUP, "restore": dump_specs.RESTORE}[name]
    assert plain(options[name]["suboptions"]) == plain(spec)
    assert plain({key: options[key] for key in dump_specs.HOST}) == plain(dump_specs.HOST)


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_a_roles_signature_is_its_modules(name: str) -> None:
    file = CHECKOUT / f"roles/tenant_{name}/meta/argument_specs.yml"
    signature = yaml.safe_load(file.read_text())["argument_specs"]["main"]["options"][f"tenant_{name}"]["options"]
    spec = {"backup": dump_specs.BACKUP, "restore": dump_specs.RESTORE}[name]
    assert plain(signature) == plain(spec)
    assert secrets(signature) == secrets(spec) == ({"part_urls"} if name == "backup" else {"url", "age_identity"})


def test_the_module_of_files_documents_what_it_takes() -> None:
    options = dict(documented("tenant_backup_files"))["DOCUMENTATION"]["options"]
    assert plain(options["absent"]["suboptions"]) == plain(options["present"]["suboptions"]) == plain(dump_specs.FILE)
