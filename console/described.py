"""The settings in words, from the one place where they are declared."""

from base.settings import PREFIX, Settings, settings


def describe_settings() -> str:
    """Every deployment setting: name, meaning, default, current value (secrets hidden)."""
    current = settings()
    blocks = []
    for name, field in Settings.model_fields.items():
        value, default = getattr(current, name), field.default
        changed = "" if value == default else f"; now {_show(value)}"
        blocks.append(
            f"{name}  ({PREFIX}{name.upper()})\n    {field.description}\n    default {_show(default)}{changed}"
        )
    return "\n".join(blocks)


def _show(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return "not set" if value is None else str(value)
