"""`estafeta rules`: trying the rules, measuring them, growing the lists."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from assets.rules.suggest import suggest
from pipelines import evaluation
from pipelines.cli import app
from pipelines.evaluation import LabelledFileError, evaluate, read_labelled

HEADER = "label\ttext\tscore\ttask_title\treasons\n"


def _labelled(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "labelled.tsv"
    path.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _check(*args: str) -> list[str]:
    result = CliRunner().invoke(app, ["rules", "check", *args])
    assert result.exit_code == 0
    return result.stdout.splitlines()


def test_check_tells_level_codes_and_hint() -> None:
    level, codes, reasons, hint = _check("без комментариев", "--score", "3")
    assert level.endswith("violation")
    assert codes.endswith("placeholder")
    assert reasons.endswith("-")
    assert "Напишите" in hint


def test_check_knows_the_title_and_the_score() -> None:
    assert _check("баннер: макета нет", "--task-title", "Макет баннера")[0].endswith("ok")
    assert _check("баннер: макета", "--task-title", "Макет баннера")[1].endswith("title_copy")
    assert _check("—", "--score", "5")[0].endswith("ok")


def test_check_takes_a_comment_of_dashes() -> None:
    assert _check("---")[1].endswith("no_letters")


def test_evaluate_prints_one_json_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "MEASURED_SECONDS", 0.01)
    file = _labelled(tmp_path, "junk\t\\u200b\t4\t\t", "real\tнет макета\t3\t\tmaterials", "vague\tплохо\t4\t\t")
    result = CliRunner().invoke(app, ["rules", "evaluate", str(file)])
    figures = json.loads(result.stdout)
    assert figures.pop("comments_per_second") > 0
    assert figures == {
        "violation_precision": 1.0,
        "violation_recall": 1.0,
        "not_ok_recall": 1.0,
        "real_rejected": 0,
        "real_weak": 0.0,
        "reason_precision": 1.0,
        "reason_recall": 1.0,
        "reason_f1": 1.0,
    }


def test_the_figures_count_what_they_say(tmp_path: Path) -> None:
    lines = [
        "junk\t—\t4\t\t",
        "junk\tплохо\t4\t\t",
        "junk\tнет макета\t4\t\t",
        "vague\tнет\t4\t\t",
        "real\tнет\t4\t\tbrief",
        "real\tнет макета\t4\t\tmaterials,deadline",
        "real\tплохо\t4\t\t",
        "real\tнет доступа\t\t\terrors",
    ]
    figures = evaluate(read_labelled(_labelled(tmp_path, *lines)))
    assert figures["violation_precision"] == pytest.approx(1 / 3, abs=1e-3)
    assert figures["violation_recall"] == pytest.approx(1 / 3, abs=1e-3)
    assert figures["not_ok_recall"] == pytest.approx(2 / 3, abs=1e-3)
    assert figures["real_rejected"] == 1
    assert figures["real_weak"] == 0.25
    assert figures["reason_precision"] == 0.5
    assert figures["reason_recall"] == 0.25
    assert figures["reason_f1"] == pytest.approx(1 / 3, abs=1e-3)


def test_a_share_of_nothing_is_null(tmp_path: Path) -> None:
    figures = evaluate(read_labelled(_labelled(tmp_path, "vague\tплохо\t4\t\t")))
    assert figures["violation_precision"] is None
    assert figures["real_weak"] is None
    assert evaluate([])["reason_f1"] is None


def test_columns_may_stand_in_any_order_beside_others(tmp_path: Path) -> None:
    file = _labelled(tmp_path, "4\tbrief\tя\treal\tбез тз\t", header="score\treasons\tnote\tlabel\ttext\ttask_title\n")
    (row,) = read_labelled(file)
    assert (row.label, row.text, row.reasons) == ("real", "без тз", frozenset({"brief"}))


def test_escapes_make_whole_characters_and_lone_halves_alike(tmp_path: Path) -> None:
    file = _labelled(tmp_path, "junk\t\\ud83d\\ude00\t4\t\t", "junk\t\\ud83d\t4\t\t")
    assert [row.text for row in read_labelled(file)] == ["😀", "\ud83d"]
    assert evaluate(read_labelled(file))["violation_recall"] == 1.0


@pytest.mark.parametrize(
    ("line", "named"),
    [("nonsense\tтекст\t4\t\t", "label"), ("real\tтекст\t4\t\tweather", "reasons"), ("real\tтекст\t7\t\t", "score")],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, named: str) -> None:
    with pytest.raises(LabelledFileError, match=f"Line 2 .*{named}"):
        read_labelled(_labelled(tmp_path, line))


def test_a_missing_file_or_column_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LabelledFileError, match="No such file"):
        read_labelled(tmp_path / "absent.tsv")
    with pytest.raises(LabelledFileError, match="no column score"):
        read_labelled(_labelled(tmp_path, header="label\ttext\n"))


def test_only_words_of_several_raters_that_are_no_names_are_suggested() -> None:
    rows = [(str(rater), f"опять бармаглот, {'Иванов' if rater else 'хливкий'} виноват") for rater in range(4)]
    rows += [("9", "шорёк шорёк"), ("9", "шорёк"), ("8", "шорёк"), ("7", "шорёк")]
    found = suggest(pd.DataFrame(rows, columns=["rater_key", "comment"]), ["Бармаглот Пётр"])
    assert found["lemma"].tolist() == []
    found = suggest(pd.DataFrame(rows, columns=["rater_key", "comment"]), ["Иванов Пётр"])
    assert found.to_dict("records") == [{"lemma": "бармаглот", "raters": 4, "comments": 4}]


def test_checking_a_comment_needs_neither_configuration_nor_warehouse(tmp_path: Path) -> None:
    code = "import sys; from pipelines.cli import main; main()"
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, "rules", "check", "нет"],
        cwd=tmp_path, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert "violation" in run.stdout
    assert not imported & {"dagster", "chdb", "great_expectations", "aiohttp"}
