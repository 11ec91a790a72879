"""`estafeta redact evaluate`: measuring the redaction."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assets.rules import ner
from assets.rules.redaction import RedactionError
from pipelines import redaction_evaluation
from pipelines.cli import app
from pipelines.evaluation import LabelledFileError
from pipelines.redaction_evaluation import read_employees, read_marked

EMPLOYEES = "1\tКравец\tАнна\tПетровна\tf\ta.kravets\n2\tНикитенко\tГлеб\t\tm\t\n"
COMMENTS = (
    "{P|Кравец} не ответила, писал на {E|a.kravets@firm.ru}\n"
    "Никто не видел {P|Абырвалга}, а {P|Глеб} знал\n"
    "\n"
    "{R|Я как бухгалтер} против\n"
    "Макета нет, шрифты не те\n"
    "Гоголя на полке нет\n"
)


def _files(folder: Path, comments: str = COMMENTS, employees: str = EMPLOYEES) -> tuple[Path, Path]:
    marked, people = folder / "marked.txt", folder / "employees.tsv"
    marked.write_text(comments, encoding="utf-8")
    people.write_text(employees, encoding="utf-8")
    return marked, people


def test_evaluate_prints_one_json_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction_evaluation, "MEASURED_SECONDS", 0.01)
    monkeypatch.setattr(ner, "load", lambda: None)
    marked, people = _files(tmp_path)
    result = CliRunner().invoke(app, ["redact", "evaluate", str(marked), "--employees", str(people)])
    figures = json.loads(result.stdout)
    assert figures.pop("comments_per_second") > 0
    assert figures == {
        "comments": 5,
        "leaking": 1,
        "recall": {"P": 0.6667, "E": 1.0, "U": None, "T": None, "A": None, "N": None, "Q": None, "R": 1.0},
        "clean_comments": 2,
        "clean_touched": 1,
        "ner": "off",
    }


def test_a_second_net_is_used_if_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction_evaluation, "MEASURED_SECONDS", 0.01)
    word = "Абырвалга"
    monkeypatch.setattr(
        ner,
        "load",
        lambda: lambda texts: [[(text.find(word), text.find(word) + len(word))] * (word in text) for text in texts],
    )
    marked, people = _files(tmp_path)
    figures = json.loads(
        CliRunner().invoke(app, ["redact", "evaluate", str(marked), "--employees", str(people)]).stdout
    )
    assert (figures["ner"], figures["leaking"]) == ("on", 0)


@pytest.mark.parametrize(
    ("comments", "employees", "told"),
    [
        (COMMENTS, "", "The list of employees is empty"),
        (COMMENTS, "id\tsurname\tname\tpatronymic\tsex\tlogin\n", "The list of employees is empty"),
        (COMMENTS, "1\tТайный\tИмярек\n", "Line 1 of"),
        (COMMENTS, EMPLOYEES + "x\tТайный\tИмярек\t\tm\t\n", "Line 3 of"),
        (COMMENTS, "1\tТайный\tИмярек\t\tмуж\t\n", "Line 1 of"),
        ("", EMPLOYEES, "holds no comment"),
        ("нет ТЗ\n{P|Тайный ушёл\n", EMPLOYEES, "Line 2 of"),
        ("{Z|Тайный} ушёл\n", EMPLOYEES, "Line 1 of"),
        ("P|Тайный} ушёл\n", EMPLOYEES, "Line 1 of"),
    ],
)
def test_files_that_cannot_be_used_are_refused_without_quoting_them(
    tmp_path: Path, comments: str, employees: str, told: str
) -> None:
    marked, people = _files(tmp_path, comments, employees)
    result = CliRunner().invoke(app, ["redact", "evaluate", str(marked), "--employees", str(people)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert isinstance(result.exception, LabelledFileError | RedactionError)
    assert told in str(result.exception)
    assert "Тайный" not in str(result.exception)


def test_a_refusal_is_one_sentence(tmp_path: Path) -> None:
    marked, people = _files(tmp_path, employees="")
    ran = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "redact", "evaluate", str(marked), "--employees", str(people)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("estafeta: The list of employees is empty")
    assert ran.stderr.count("\n") == 1


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelledFileError, match="cannot be read"):
        read_marked(tmp_path / "none.txt")
    foreign = tmp_path / "foreign.tsv"
    foreign.write_bytes("1\tКравец".encode("cp1251"))
    with pytest.raises(LabelledFileError, match="not UTF-8"):
        read_employees(foreign)
