"""Who asks: a user, an API key, or the system."""

import getpass
import os
from dataclasses import dataclass
from typing import Literal

from webapp.models import ApiKey, User


@dataclass(frozen=True)
class Actor:
    """The one who asks for a change, with where the request came from."""

    type: Literal["user", "api_key", "system"]
    user: User | None = None
    api_key: ApiKey | None = None
    ip: str | None = None
    request_id: str | None = None
    # Who typed the command, for what is done from a terminal.
    operator: str | None = None
    # The admin who only looks as `user`: nothing may be changed, and no secret is shown.
    viewer: User | None = None

    @property
    def label(self) -> str:
        """How audit events name the actor."""
        if self.api_key is not None and self.user is not None:
            return f"{self.user.email} (API key {self.api_key.label})"
        if self.user is not None:
            return self.user.email
        return f"operator {self.operator}" if self.operator else "system"

    @property
    def sees_everything(self) -> bool:
        """The system and platform admins see every database; a selected key never does."""
        if self.user is None:
            return True
        return self.user.is_admin and not (self.api_key is not None and self.api_key.scope == "selected")


SYSTEM = Actor("system")


def operator() -> Actor:
    """The person at the terminal, by their name on this machine, through sudo too."""
    return Actor("system", operator=os.environ.get("SUDO_USER") or _own_name())


def _own_name() -> str:
    """The name of this process's OS user; its number where no name is known for it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
