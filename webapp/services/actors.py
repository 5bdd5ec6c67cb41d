"""Who asks: a user, an API key, or the system."""

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
    # The admin who only looks as `user`: nothing may be changed, and no secret is shown.
    viewer: User | None = None

    @property
    def label(self) -> str:
        """How audit events name the actor."""
        if self.api_key is not None and self.user is not None:
            return f"{self.user.email} (API key {self.api_key.label})"
        return self.user.email if self.user is not None else "system"

    @property
    def sees_everything(self) -> bool:
        """The system and platform admins see every database; a selected key never does."""
        if self.user is None:
            return True
        return self.user.is_admin and not (self.api_key is not None and self.api_key.scope == "selected")


SYSTEM = Actor("system")
