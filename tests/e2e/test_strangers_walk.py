"""A stranger connects a portal that is nothing like the example with the README alone, and gets its truth."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from pydantic import SecretStr

from pipelines.settings import Secrets, Settings
from sources.stand_in.company import generate
from sources.stand_in.server import StandInPortal
from sources.stand_in.state import PortalState, Record, SmartProcess
from tests.e2e.conftest import NOW
from tests.e2e.test_truth import FACT, truth

ROOT = Path(__file__).parents[2]
EXAMPLE_KIND = "1036"
"""What the README's commands say instead of the reader's own number."""

# --- another portal -------------------------------------------------------------------------------------------------

USERS, DEPARTMENTS, TASKS = 5000, 300, 70000
"""How far ids of the other portal are from the made-up company's."""
KINDS = {1036: 161, 1038: 178, 1070: 3004}
TYPES = {1036: 2, 1038: 31, 1070: 44}
FUNNELS = {54: 9, 55: 12, 63: 3}
WORDS = {"5": "Превосходно", "4": "Неплохо", "3": "Так себе", "2": "Слабо", "1": "Никуда не годится"}
USER_FIELDS = ("createdBy", "updatedBy", "movedBy", "assignedById", "lastActivityBy")
TASK_USERS = ("createdBy", "responsibleId", "changedBy", "statusChangedBy", "closedBy")


def another_portal() -> PortalState:
    """A made-up company with other ids, names, score types, stages, an own time zone, and no configuration."""
    state = generate(6, "tiny", NOW)
    processes = {config["entity_type_id"]: config for config in state.config["processes"]}
    moved = {KINDS[kind]: _process(process, processes[kind]["fields"]) for kind, process in state.processes.items()}
    zone = timezone(timedelta(hours=5))
    return replace(
        state,
        now=NOW.replace(tzinfo=zone),
        timezone=zone,
        users={number + USERS: _user(row) for number, row in state.users.items()},
        departments={number + DEPARTMENTS: _department(row) for number, row in state.departments.items()},
        tasks={number + TASKS: _task(row) for number, row in state.tasks.items()},
        processes=moved,
        config={},
        webhook_user=state.webhook_user + USERS,
        planted={},
    )


def _there(value: Any) -> Any:
    """A moment as a portal five hours east of Greenwich writes it."""
    return value.replace("+03:00", "+05:00") if isinstance(value, str) else value


def _other(number: object, step: int) -> Any:
    """Another id of the same type; nobody stays nobody."""
    if not number or number == "0":
        return number
    return str(int(number) + step) if isinstance(number, str) else int(str(number)) + step


def _user(row: Record) -> Record:
    moved = {name: _there(value) for name, value in row.items()}
    departments = [number + DEPARTMENTS for number in row["UF_DEPARTMENT"] or []]
    return moved | {"ID": _other(row["ID"], USERS), "UF_DEPARTMENT": departments}


def _department(row: Record) -> Record:
    moved = {"ID": _other(row["ID"], DEPARTMENTS)}
    if "PARENT" in row:
        moved["PARENT"] = _other(row["PARENT"], DEPARTMENTS)
    if "UF_HEAD" in row:
        moved["UF_HEAD"] = _other(row["UF_HEAD"], USERS)
    return row | moved


def _task(row: Record) -> Record:
    moved = {name: _there(value) for name, value in row.items()}
    users = {name: _other(row[name], USERS) for name in TASK_USERS if name in row}
    return moved | users | {"id": _other(row["id"], TASKS)}


def _process(process: SmartProcess, roles: dict[str, str]) -> SmartProcess:
    kind, number = process.entity_type_id, TYPES[process.entity_type_id]
    names = {name: f"ufCrm{number}{role.capitalize()}Field" for role, name in roles.items() if name.startswith("ufCrm")}
    fields = {names.get(name, name): dict(definition) for name, definition in process.fields.items()}
    for role, name in roles.items():
        if name in names:
            fields[names[name]]["upperName"] = f"UF_CRM_{number}_{role.upper()}_FIELD"
    definition = fields[names[roles["score"]]]
    rescored = _rescored(process, definition)
    items = {}
    for item_id, item in process.items.items():
        moved = {names.get(name, name): _there(value) for name, value in item.items()}
        moved |= {name: _other(item[name], USERS) for name in USER_FIELDS}
        for role in ("rater", "ratee"):
            if roles[role] in names:
                moved[names[roles[role]]] = _other(item[roles[role]], USERS)
        if "task" in roles:
            moved[names[roles["task"]]] = _other(item[roles["task"]], TASKS)
        moved[names[roles["score"]]] = rescored(item[roles["score"]])
        moved |= {name: _stage(item[name]) for name in ("stageId", "previousStageId")}
        moved |= {"entityTypeId": KINDS[kind], "categoryId": FUNNELS[item["categoryId"]]}
        items[item_id] = moved
    return replace(
        process,
        entity_type_id=KINDS[kind],
        type_id=number,
        fields=fields,
        categories=[row | {"id": FUNNELS[row["id"]], "entityTypeId": KINDS[kind]} for row in process.categories],
        statuses=[
            row
            | {
                "ENTITY_ID": f"DYNAMIC_{KINDS[kind]}_STAGE_{FUNNELS[int(row['CATEGORY_ID'])]}",
                "STATUS_ID": _stage(row["STATUS_ID"]),
                "CATEGORY_ID": str(FUNNELS[int(row["CATEGORY_ID"])]),
            }
            for row in process.statuses
        ],
        items=items,
        deleted={},
    )


def _stage(name: str) -> str:
    found = re.fullmatch(r"DT(\d+)_(\d+):(\w+)", name)
    assert found, name
    return f"DT{KINDS[int(found[1])]}_{FUNNELS[int(found[2])]}:{found[3]}"


def _rescored(process: SmartProcess, definition: Record) -> Any:
    """Gives the score's field another type; how a value of the old one is written in the new one."""
    match definition["type"]:
        case "enumeration":
            # A list whose texts name no number, with option ids of its own.
            options = {int(row["ID"]): row["VALUE"] for row in definition["items"]}
            definition["items"] = [
                {"ID": str(number + 8000), "VALUE": WORDS[text[0]]} for number, text in options.items()
            ]
            return lambda value: None if value is None else value + 8000
        case "integer":
            definition["type"] = "string"
            return lambda value: None if value is None else f"оценка {value}"
        case _:
            # Free text becomes a whole number; text without exactly one is no score any more.
            definition["type"] = "integer"
            return lambda value: None if value is None else int("".join(re.findall(r"\d", str(value))) or 0)


# --- the walk -------------------------------------------------------------------------------------------------------


class Stranger:
    """Somebody with the README, an editor and a shell in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        guide = (ROOT / "README.md").read_text(encoding="utf-8").split("## Connect your own portal")[1]
        self._blocks: list[str] = re.findall(r"```\w*\n(.*?)\n```", guide.split("\n## ")[0], flags=re.DOTALL)
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PYTHONWARNINGS": "ignore",
        }

    def command(self, word: str) -> str:
        """The README's first command that holds a word."""
        return next(block for block in self._blocks if word in block)

    def shell(self, command: str) -> str:
        """Types a command into a shell in which .env was loaded as the README says."""
        load = f"{self.command('. ./.env')}\n" if (self.folder / ".env").exists() else ""
        done = subprocess.run(
            ["bash", "-c", load + command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def asks(self, word: str, kind: str = EXAMPLE_KIND) -> list[str]:
        """Lines that the README's command prints with the stranger's own number in place of the example's."""
        return self.shell(self.command(word).replace(EXAMPLE_KIND, kind)).splitlines()

    def edit(self, name: str, pattern: str, text: str) -> None:
        """Fills in one line of a file."""
        file = self.folder / name
        content, count = re.subn(pattern, lambda _: text, file.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE)
        assert count, f"{name} has no line like {pattern}"
        file.write_text(content, encoding="utf-8")


@pytest.fixture
def portal() -> Iterator[StandInPortal]:
    with StandInPortal(another_portal(), rate_per_second=None) as served:
        yield served


def test_the_readme_is_enough_to_connect_a_portal_unlike_the_example(portal: StandInPortal, tmp_path: Path) -> None:
    stranger = Stranger(tmp_path)
    for name in (".env.example", "estafeta.example.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())

    stranger.shell(stranger.command("cp .env.example"))
    stranger.edit(".env", r"^BITRIX24_WEBHOOK_URL=.*$", f"BITRIX24_WEBHOOK_URL={portal.webhook}")
    stranger.shell(stranger.command("estafeta init-key"))
    stranger.shell(stranger.command("cp estafeta.example.yaml"))

    kinds = {title: number for number, title in (line.split(" ", 1) for line in stranger.asks("crm.type.list"))}
    units = [re.fullmatch(r"(\d+) (.*) under (\d+|-)", line) for line in stranger.asks('department.get"')]
    departments = {unit[2]: int(unit[1]) for unit in units if unit}
    config = yaml.safe_load((tmp_path / "estafeta.yaml").read_text(encoding="utf-8"))
    config["portal"]["timezone"] = "Asia/Yekaterinburg"
    config["processes"] = [
        process(stranger, "tasks", "Постановка задач производству", kinds)
        | {
            "setter_departments": [departments["Аккаунтинг"]],
            "executor_departments": [departments["Производство"]],
        },
        process(stranger, "questions", "Возврат вопросов аккаунтам", kinds),
        process(stranger, "shipping", "Заявки на отгрузку", kinds),
    ]
    (policy,) = config["policies"]
    policy["mode"] = "open"
    (tmp_path / "estafeta.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    assert not re.search(r"1036|ufCrm7_", (tmp_path / "estafeta.yaml").read_text(encoding="utf-8"))

    stranger.shell("estafeta doctor")
    stranger.shell("estafeta run")

    portal.state.config = config
    settings = Settings.load(
        tmp_path / "estafeta.yaml",
        Secrets(bitrix24_webhook_url=SecretStr(portal.webhook), estafeta_key_file=tmp_path / ".config/estafeta/key"),
    )
    with settings.warehouse().session("test") as db:
        found = db.query(FACT.format(table="dwh.fct_rating")).to_pandas()
    expected = truth(portal.state)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert set(expected["process_key"]) == {"tasks", "questions", "shipping"}
    for _, rows in expected.groupby("process_key"):
        assert rows["exclusion_code"].eq("").mean() > 0.5, "a score was not understood"


ROLES = {
    "Оценка": "score",
    "Комментарий": "comment",
    "Кто оценил": "rater",
    "Постановщик": "ratee",
    "Задача": "task",
    "Месяц": "period",
    "Причина снижения": "reason",
}


def process(stranger: Stranger, key: str, title: str, kinds: dict[str, str]) -> dict[str, Any]:
    """An entry of `processes`, filled in by the titles that its fields have on the portal."""
    number = kinds[title]
    fields, texts = {}, []
    for line in stranger.asks("crm.item.fields", number):
        name, kind, label, *options = line.split("  ")
        if label in ROLES and name.startswith("ufCrm"):
            fields[ROLES[label]] = name
        if label == "Оценка" and kind == "enumeration":
            texts = options
    # Where nobody made a field for the ratee, the responsible person is meant: allowed in mode open.
    fields.setdefault("ratee", "assignedById")
    entry: dict[str, Any] = {
        "key": key,
        "title": title,
        "entity_type_id": int(number),
        "cadence": "month" if "period" in fields else "task",
        "fields": fields,
    }
    if texts:
        # What the words mean only a person can say; the README wants them as the command shows them.
        meant = {word: int(score) for score, word in WORDS.items()}
        entry["score_values"] = {text: meant[text] for text in texts}
    return entry
