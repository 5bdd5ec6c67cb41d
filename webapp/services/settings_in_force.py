"""The settings as this process goes by them, without any secret."""

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from webapp.config import Settings

INTERNAL = {"testing"}


@dataclass(frozen=True)
class Setting:
    """One variable; a secret says only whether it is set."""

    variable: str
    value: str
    is_default: bool
    is_secret: bool


def in_force(config: Settings) -> list[Setting]:
    """Every setting, by its variable."""
    found = [_setting(config, name) for name in Settings.model_fields if name not in INTERNAL]
    return sorted(found, key=lambda setting: setting.variable)


def _setting(config: Settings, name: str) -> Setting:
    field, value = Settings.model_fields[name], getattr(config, name)
    variable = field.alias or f"DBHOST_{name.upper()}"
    secret = "SecretStr" in str(field.annotation)
    if secret:
        is_set = isinstance(value, SecretStr) and bool(value.get_secret_value())
        return Setting(variable, "set" if is_set else "not set", not is_set, True)
    return Setting(variable, _shown(value), value == field.get_default(call_default_factory=True), False)


def _shown(value: object) -> str:
    """The value as text; an address loses the user and password that it may carry."""
    if value is None or value == "":
        return "not set"
    text = str(value)
    parts = urlsplit(text)
    if parts.scheme and "@" in parts.netloc:
        return urlunsplit(parts._replace(netloc="…@" + parts.netloc.rpartition("@")[2]))
    return text
