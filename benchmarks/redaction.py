"""How many comments a second are redacted on one core, and how long the list of employees takes to learn.

    python benchmarks/redaction.py [FILE.txt EMPLOYEES.tsv]

The comments are redacted again and again with the caches of words warm and no redaction remembered. The alternative, in
the same run, is what any redaction by names would begin with: pymorphy3 looks up every word of the same comments to see
whether it is a name, and masks nothing. Where natasha is importable, its rules for names (NamesExtractor) are measured
too. Processor time, so that what else the machine does stays out.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pymorphy3 import MorphAnalyzer

from assets.rules.redaction import Employee, Redactor
from pipelines.redaction_evaluation import read_employees, read_marked

DATA = Path(__file__).parent.parent / "tests" / "rules" / "data"
SECONDS = 3.0
COMPANY = 1000
WORD = re.compile(r"\w+")


def per_second(work: Callable[[str], object], texts: list[str]) -> float:
    """Comments a second after one pass over all of them."""
    for text in texts:
        work(text)
    done, started = 0, time.process_time()
    while (elapsed := time.process_time() - started) < SECONDS:
        for text in texts:
            work(text)
        done += len(texts)
    return done / elapsed


def company() -> list[Employee]:
    """A thousand people, each surname their own: nothing is learnt twice."""
    stems = [
        a + b for a in ("Бар", "Вер", "Гор", "Дол", "Жар", "Зар", "Кар", "Лат", "Мор", "Нев") for b in "абвгдезилм"
    ]
    endings = ("анов", "енко", "овский", "унец", "ович", "ишин", "аев", "ук", "ян", "ый")
    names = ("Иван", "Пётр", "Глеб", "Олег", "Игорь", "Роман", "Лев", "Яков", "Марк", "Егор")
    surnames = [stem + ending for stem in stems for ending in endings][:COMPANY]
    return [
        Employee(at, surname, names[at % 10], names[at // 10 % 2] + "ович", "m", f"user{at}")
        for at, surname in enumerate(surnames)
    ]


def main() -> None:
    """Prints the figures and their ratio."""
    given = [Path(name) for name in sys.argv[1:]] or [DATA / "redaction_a.txt", DATA / "redaction_a.tsv"]
    texts = [row.text for row in read_marked(given[0])]
    started = time.process_time()
    Redactor(company())
    built = time.process_time() - started
    redactor, morph = Redactor(read_employees(given[1])), MorphAnalyzer()
    ours = per_second(redactor.redact, texts)
    tags = per_second(lambda text: ["Name" in parse.tag for w in WORD.findall(text) for parse in morph.parse(w)], texts)
    print(f"{len(texts):,} comments of {given[0].name}")
    print(f"list of {COMPANY:,} employees     {built:10.2f} s")
    print(f"redaction                   {ours:10,.0f} comments/s")
    print(f"pymorphy3 tags alone        {tags:10,.0f} comments/s")
    print(f"ratio                       {ours / tags:10.2f}")
    try:
        from natasha import MorphVocab, NamesExtractor
    except ImportError:
        return
    extractor = NamesExtractor(MorphVocab())
    names = per_second(lambda text: list(extractor(text)), texts)
    print(f"natasha's NamesExtractor    {names:10,.0f} comments/s")
    print(f"ratio                       {ours / names:10.2f}")


if __name__ == "__main__":
    main()
