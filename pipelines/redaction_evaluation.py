"""Measuring the redaction of comments on a marked file.

Belongs here: the formats of the two files and the figures. Does not belong here: what is masked (`assets/rules`).
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from assets.rules.redaction import Employee, Redactor
from pipelines.evaluation import LabelledFileError

KINDS = "PEUTANQR"
"""Person, e-mail, link, telephone, handle, task number, outsider, self-reference."""
COLUMNS = ("id", "surname", "name", "patronymic", "sex", "login")
MEASURED_SECONDS = 2.0
"""Of processor time: what else the machine does is not the redaction's cost."""

_MARK = re.compile(r"\{([A-Z])\|([^{}]+)\}")
_TORN = re.compile(r"\{\w?\||\|[^{}]*\}")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Marked:
    """One comment of a marked file.

    Attributes:
        text: the comment, marks taken off.
        spans: kind and text of each identifier; none in a clean comment.
        rest: the comment without its identifiers.
    """

    text: str
    spans: tuple[tuple[str, str], ...]
    rest: str


def read_marked(path: Path) -> list[Marked]:
    """Reads comments, one a line, whose identifiers are marked as `{X|text}`, X one of P E U T A N Q R.

    Args:
        path: the file, UTF-8.

    Raises:
        LabelledFileError: the file cannot be read, holds no comment, or a line has a torn or unknown mark.
    """
    rows = [_marked(line, path, number) for number, line in enumerate(_lines(path), 1) if line.strip()]
    if not rows:
        raise LabelledFileError(f"The marked file {path} holds no comment: write one a line.")
    return rows


def _marked(line: str, path: Path, number: int) -> Marked:
    spans = tuple((match.group(1), match.group(2)) for match in _MARK.finditer(line))
    rest = _MARK.sub(" ", line)
    if any(kind not in KINDS for kind, _ in spans) or _TORN.search(rest):
        raise LabelledFileError(
            f"Line {number} of {path} has a mark that cannot be read: write {{X|text}} with X of {', '.join(KINDS)}."
        )
    return Marked(_MARK.sub(r"\2", line), spans, rest)


def read_employees(path: Path) -> list[Employee]:
    """Reads tab-separated id, surname, name, patronymic, sex (m, f or nothing) and login; a line of titles may lead.

    Args:
        path: the file, UTF-8.

    Raises:
        LabelledFileError: the file cannot be read, or a line says what it cannot.
    """
    people = []
    for number, line in enumerate(_lines(path), 1):
        row = [value.strip() for value in line.split("\t")]
        if not line.strip() or (number == 1 and row[: len(COLUMNS)] == list(COLUMNS)):
            continue
        if len(row) != len(COLUMNS) or not row[0].isdecimal() or row[4] not in {"m", "f", ""} or not (row[1] or row[2]):
            raise LabelledFileError(
                f"Line {number} of {path} needs six tab-separated values, {', '.join(COLUMNS)}: a whole number as id, "
                "a surname or a name, and m, f or nothing as sex."
            )
        people.append(Employee(int(row[0]), *row[1:]))
    return people


def _lines(path: Path) -> list[str]:
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LabelledFileError(f"The file {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise LabelledFileError(f"The file {path} is not UTF-8: save it as UTF-8.") from error
    # Only line feeds end a line: a comment may hold anything else that Python takes for a line end.
    return [line.removesuffix("\r") for line in content.split("\n")]


def evaluate(rows: list[Marked], redactor: Redactor) -> dict[str, object]:
    """Redacts every comment and looks at what is left of its identifiers.

    An identifier is left if any of its words stands in the redacted text more often than outside identifiers in the
    original: what counts is the text that would be published, however it was made.

    Args:
        rows: from `read_marked`.
        redactor: of the company that the comments speak of.

    Returns:
        `comments`; `leaking`: comments with any identifier left; `recall`: by kind, share of identifiers of which
        nothing is left, None where there are none; `clean_comments`: comments without identifiers; `clean_touched`: how
        many of them have something masked.
    """
    shown = redactor.redact_all([row.text for row in rows])
    gone, all_spans = Counter[str](), Counter[str]()
    leaking = touched = clean = 0
    for row, redaction in zip(rows, shown, strict=True):
        left = _words(redaction.text) - _words(row.rest)
        leaks = False
        for kind, span in row.spans:
            is_gone = left.keys().isdisjoint(_words(span))
            all_spans[kind] += 1
            gone[kind] += is_gone
            leaks |= not is_gone
        leaking += leaks
        clean += not row.spans
        touched += not row.spans and bool(redaction.masked)
    return {
        "comments": len(rows),
        "leaking": leaking,
        "recall": {kind: round(gone[kind] / all_spans[kind], 4) if all_spans[kind] else None for kind in KINDS},
        "clean_comments": clean,
        "clean_touched": touched,
    }


def _words(text: str) -> Counter[str]:
    return Counter(word.lower().replace("ё", "е") for word in _WORD.findall(text))


def comments_per_second(rows: list[Marked], redactor: Redactor) -> int:
    """Comments a second on one core, with caches of words warm and no redaction remembered.

    Args:
        rows: at least one; a first pass over them is not measured.
        redactor: as for `evaluate`.
    """
    texts = list(dict.fromkeys(row.text for row in rows))
    redactor.redact_all(texts)
    done, started = 0, time.process_time()
    while (elapsed := time.process_time() - started) < MEASURED_SECONDS:
        redactor.redact_all(texts)
        done += len(texts)
    return round(done / elapsed)
