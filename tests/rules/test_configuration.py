from pathlib import Path

from webapp.config import Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
INTERNAL = {"testing"}


def test_every_setting_is_documented() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    names = {
        field.alias or f"DBHOST_{name.upper()}" for name, field in Settings.model_fields.items() if name not in INTERNAL
    }

    assert sorted(name for name in names if f"`{name}`" not in text) == []
