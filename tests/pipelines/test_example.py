"""estafeta.example.yaml stays complete and loadable, with its optional keys commented out and in."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from assets.rules.policy import PolicyEntry
from pipelines.settings import (
    AgreementSettings,
    ConfigFile,
    DatalensSettings,
    DecisionSettings,
    NotifySettings,
    PortalSettings,
    ReleaseSettings,
    RulesSettings,
    Secrets,
    Settings,
    SignalSettings,
    VaultSettings,
    WarehouseSettings,
)
from sources.contracts import AgreementFields, DecisionFields, FieldMap, Process, TaskGroup

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "estafeta.example.yaml"
SECTIONS: dict[str, type[BaseModel]] = {
    "": ConfigFile,
    "portal": PortalSettings,
    "processes": Process,
    "processes.fields": FieldMap,
    "processes.tasks": TaskGroup,
    "policies": PolicyEntry,
    "release": ReleaseSettings,
    "rules": RulesSettings,
    "warehouse": WarehouseSettings,
    "vault": VaultSettings,
    "notify": NotifySettings,
    "decisions": DecisionSettings,
    "decisions.fields": DecisionFields,
    "signals": SignalSettings,
    "agreements": AgreementSettings,
    "agreements.fields": AgreementFields,
    "datalens": DatalensSettings,
}
OPEN_MAPS = {"processes.score_values", "decisions.decision_values"}


def uncommented() -> str:
    """The example with its optional keys switched on; prose has exactly one blank after its #."""
    return re.sub(r"^( *)#(?! \S)(?=.)", r"\1", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def keys(node: object, path: str = "") -> set[str]:
    """Dotted keys of a YAML document; entries of a list share their paths."""
    if isinstance(node, list):
        return set().union(*(keys(entry, path) for entry in node))
    if not isinstance(node, dict) or path in OPEN_MAPS:
        return set()
    found = set()
    for name, value in node.items():
        inner = f"{path}.{name}".lstrip(".")
        found |= {inner} | keys(value, inner)
    return found


def test_example_is_accepted_as_it_is():
    settings = Settings.load(EXAMPLE, Secrets())
    assert [process.key for process in settings.file.processes] == ["production"]
    assert {entry.mode for entry in settings.policy.entries} == {"aggregate"}


@pytest.mark.parametrize(
    ("place", "dropped"), [("path", {"csv"}), ("url", {"entity_type_id", "fields"})], ids=["path", "url"]
)
def test_optional_keys_are_accepted_too(place, dropped, tmp_path):
    content = yaml.safe_load(uncommented())
    content["warehouse"] = {place: content["warehouse"][place]}
    for section in ("decisions", "agreements"):
        content[section] = {key: value for key, value in content[section].items() if key not in dropped}
    file = tmp_path / "estafeta.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    settings = Settings.load(file, Secrets())
    assert {process.cadence for process in settings.file.processes} == {"task", "month"}


def test_example_names_every_key_and_no_other():
    expected = {f"{path}.{name}".lstrip(".") for path, model in SECTIONS.items() for name in model.model_fields}
    assert keys(yaml.safe_load(uncommented())) == expected


def test_sections_cover_every_model():
    """A new nested model must be added to SECTIONS, or its keys would not be asked for."""
    named = set(SECTIONS.values())
    for model in SECTIONS.values():
        for field in model.model_fields.values():
            nested = re.findall(r"(?:[a-z_]+\.)+([A-Z]\w+)", str(field.annotation))
            assert {
                name for name in nested if name.endswith(("Settings", "Map", "Fields", "Group", "Process", "Entry"))
            } <= {known.__name__ for known in named}


def test_env_example_names_every_secret():
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    names = {name.upper() for name in Secrets.model_fields} | {"ESTAFETA_CONFIG"}
    assert set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", text, flags=re.MULTILINE)) == names
