"""Measuring the comment rules and reason tags on a labelled file.

Belongs here: the file's format and the figures. Does not belong here: any rule (`assets/rules`).
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from assets.rules import comments, reasons

COLUMNS = ("label", "text", "score", "task_title", "reasons")
LABELS = ("junk", "vague", "real")
MEASURED_SECONDS = 2.0
"""Of processor time: what else the machine does is not the rules' cost."""

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


class LabelledFileError(Exception):
    """A labelled file cannot be used; the message names the line."""


@dataclass(frozen=True)
class Labelled:
    """One line of a labelled file.

    Attributes:
        label: junk, vague or real.
        text: the comment, escapes undone.
        is_low: whether its score must be explained.
        task_title: '' if none.
        reasons: codes a reader would tag.
    """

    label: str
    text: str
    is_low: bool
    task_title: str
    reasons: frozenset[str]


def read_labelled(path: Path) -> list[Labelled]:
    r"""Reads tab-separated columns `label text score task_title reasons`; others are ignored.

    Args:
        path: the file, UTF-8; texts may hold `\uXXXX`.

    Raises:
        LabelledFileError: the file or a column is missing, or a line says what it cannot.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LabelledFileError(f"The labelled file {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise LabelledFileError(f"The labelled file {path} is not UTF-8: save it as UTF-8.") from error
    # Only line feeds end a line: a comment may hold anything else that Python takes for a line end.
    header, *lines = [line.removesuffix("\r").split("\t") for line in content.split("\n")]
    absent = [name for name in COLUMNS if name not in header]
    if absent:
        raise LabelledFileError(f"The labelled file {path} has no column {absent[0]}; it needs {', '.join(COLUMNS)}.")
    return [_labelled(dict(zip(header, line, strict=False)), path, at) for at, line in enumerate(lines, 2) if any(line)]


def _labelled(row: dict[str, str], path: Path, line: int) -> Labelled:
    values = {name: row.get(name, "").strip() if name != "text" else row.get(name, "") for name in COLUMNS}
    tags = frozenset(tag.strip() for tag in values["reasons"].split(",") if tag.strip())
    if (
        values["label"] not in LABELS
        or not tags <= reasons.REASONS.keys()
        or values["score"] not in set("12345") | {""}
    ):
        raise LabelledFileError(
            f"Line {line} of {path} needs a label of {', '.join(LABELS)}, a score of 1 to 5 or none, and reasons of "
            f"{', '.join(reasons.REASONS)}."
        )
    is_low = not values["score"] or int(values["score"]) < comments.THRESHOLD
    return Labelled(values["label"], _unescaped(values["text"]), is_low, _unescaped(values["task_title"]), tags)


def _unescaped(text: str) -> str:
    raw = _ESCAPE.sub(lambda found: chr(int(found.group(1), 16)), text)
    # Two escapes may be the halves of one character; a half that stands alone stays one.
    return raw.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def evaluate(rows: list[Labelled]) -> dict[str, float | None]:
    """Judges every line and compares with the labels.

    Args:
        rows: from `read_labelled`.

    Returns:
        `violation_precision` and `violation_recall` of violations against junk; `not_ok_recall`: junk that is a
        violation or weak; `real_rejected`: real reasons that are violations; `real_weak`: share of them that is weak;
        `reason_precision`, `reason_recall`, `reason_f1`: micro-averaged over the reasons of real lines, a rejected
        line having none. A share of nothing is None.
    """
    levels: Counter[tuple[str, str]] = Counter()
    hits = predicted = expected = 0
    for row in rows:
        level, found = _judged(row)
        levels[row.label, level] += 1
        if row.label == "real":
            hits += len(row.reasons & found)
            predicted += len(found)
            expected += len(row.reasons)
    labels = Counter(row.label for row in rows)
    violations = sum(levels[label, comments.VIOLATION] for label in LABELS)
    caught = levels["junk", comments.VIOLATION]
    return {
        "violation_precision": _share(caught, violations),
        "violation_recall": _share(caught, labels["junk"]),
        "not_ok_recall": _share(caught + levels["junk", comments.WEAK], labels["junk"]),
        "real_rejected": levels["real", comments.VIOLATION],
        "real_weak": _share(levels["real", comments.WEAK], labels["real"]),
        "reason_precision": _share(hits, predicted),
        "reason_recall": _share(hits, expected),
        "reason_f1": _share(2 * hits, predicted + expected),
    }


def _judged(row: Labelled) -> tuple[str, frozenset[str]]:
    verdict = comments.judge(row.text, is_low=row.is_low, title=row.task_title)
    return verdict.level, frozenset(verdict.reasons)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def comments_per_second(rows: list[Labelled]) -> int:
    """Verdicts and reasons a second on one core, with caches of words warm and no verdict remembered.

    Args:
        rows: at least one; a first pass over them is not measured.
    """
    for row in rows:
        _judged(row)
    judged, started = 0, time.process_time()
    while (elapsed := time.process_time() - started) < MEASURED_SECONDS:
        for row in rows:
            _judged(row)
        judged += len(rows)
    return round(judged / elapsed)
