"""The settings in words, from the one place where they are declared."""

import ast
import inspect
from functools import cache

from base import business
from base.crypto import open_vault
from base.database import transaction
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


def describe_business(config: Settings) -> str:
    """Every business setting: name, meaning, current value (secrets hidden)."""
    with transaction() as tx:
        current = business.load_business(tx, open_vault(config.secret_keys))
    blocks = []
    for name, field in business.FIELDS.items():
        value = getattr(current, name)
        if field.metadata.get("secret") or field.metadata.get("large"):
            value = "(set)" if value else "(not set)"
        blocks.append(f"{name} = {value}\n    {business_texts()[name]}")
    return "\n".join(blocks)


def markdown() -> str:
    """docs/settings.md: both kinds of settings as tables, from their declarations."""
    lines = [
        "# Settings",
        "",
        "<!-- made by: ./run settings --markdown >docs/settings.md -->",
        "",
        "## Deployment settings",
        "",
        f"From the environment (`{PREFIX}WEB_PORT`), a secrets folder or `tollkeeper.toml`; a change needs a restart.",
        "",
        "| setting | default | meaning |",
        "|---|---|---|",
        *(
            f"| `{name}` | {_show(field.default)} | {field.description} |"
            for name, field in Settings.model_fields.items()
        ),
        "",
        "## Business settings",
        "",
        "Rows, set with `tollkeeper business set KEY VALUE`; used from the next transaction on. Secrets are encrypted.",
        "",
        "| setting | default | meaning |",
        "|---|---|---|",
        *(
            f"| `{name}` | {'secret' if field.metadata.get('secret') else field.default} | {business_texts()[name]} |"
            for name, field in business.FIELDS.items()
        ),
    ]
    return "\n".join(lines)


@cache
def business_texts() -> dict[str, str]:
    """The string under each attribute of Business, which is its documentation."""
    body = ast.parse(inspect.getsource(business.Business)).body[0]
    assert isinstance(body, ast.ClassDef)
    texts = {}
    for declared, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(declared, ast.AnnAssign)
            and isinstance(declared.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            texts[declared.target.id] = str(text.value.value)
    return texts
