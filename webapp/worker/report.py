"""Read what a run says about each database: an allow-list, so nothing else of Ansible's output is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from webapp.services.reports import Report

REPORT_TASK = "Report each database"
HOST_TASK = "Report the host"
REPORTS = "Report "
AGENT_ERROR = "AGENT_ERROR"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Failure:
    """Why an operation did not succeed: a stable code, a sentence without secrets, the step."""

    code: str
    message: str
    retryable: bool
    step: str | None = None


def failed_run(step: str | None) -> Failure:
    """Why a run as a whole went wrong, when it reports nothing better."""
    sentence = f"The run failed at the step “{step}”." if step else "The run ended without a result."
    return Failure(AGENT_ERROR, sentence, retryable=True, step=step)


# Errors whose sentence names other databases: operators read them in the run's own report.
NAMES_OTHERS = frozenset({"role_in_use"})


class ItemError(BaseModel):
    """What went wrong with one database, in the module's words."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    code: str
    message: str
    retryable: bool = False
    step: str | None = None

    @property
    def failure(self) -> Failure:
        """As the control plane keeps it: its owner reads this, and must not read the names of others' databases."""
        if self.code in NAMES_OTHERS:
            message = "Something of this database is in use elsewhere on its host. An operator has to look at it."
            return Failure(AGENT_ERROR, f"{message} ({self.code})", self.retryable, self.step)
        return Failure(AGENT_ERROR, f"{self.message} ({self.code})", self.retryable, self.step)


class Item(BaseModel):
    """One database's own result."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    generation: int | None = None
    changes: list[str] = []
    notes: list[str] = []
    error: ItemError | None = None


ITEMS = TypeAdapter(list[Item])


def read(result: Mapping[str, Any]) -> dict[str, Item]:
    """The items by name in the result of the task `Report each database`; {} when it has none that can be read."""
    try:
        return {item.name: item for item in ITEMS.validate_python(result.get("databases") or [])}
    except ValidationError as error:
        log.warning("report_unreadable", problems=error.error_count())
        return {}


def read_host(result: Mapping[str, Any]) -> Report | None:
    """The report in the result of the task `Report the host`; None when it has none that can be read."""
    try:
        return Report.model_validate(result.get("report"))
    except ValidationError as error:
        log.warning("host_report_unreadable", problems=error.error_count())
        return None
