"""How many comments a second the rules judge, reasons included, on one core.

    python benchmarks/comment_rules.py [FILE.tsv ...]

The files are labelled comments (default: all of tests/rules/data). They are judged again and again with the caches of
words warm and no verdict remembered. The alternative, in the same run, is what any rule over lemmas would begin with:
pymorphy3 looks up every word of the same comments, and nothing more is done with them. Processor time, so that what
else the machine does stays out.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pymorphy3 import MorphAnalyzer

from assets.rules.comments import judge
from pipelines.evaluation import Labelled, read_labelled

DATA = Path(__file__).parent.parent / "tests" / "rules" / "data"
SECONDS = 3.0
WORD = re.compile(r"\w+")


def per_second(work: Callable[[Labelled], object], rows: list[Labelled]) -> float:
    """Comments a second after one pass over all of them."""
    for row in rows:
        work(row)
    done, started = 0, time.process_time()
    while (elapsed := time.process_time() - started) < SECONDS:
        for row in rows:
            work(row)
        done += len(rows)
    return done / elapsed


def main() -> None:
    """Prints both figures and their ratio."""
    files = [Path(name) for name in sys.argv[1:]] or sorted(DATA.glob("comments_*.tsv"))
    rows = [row for file in files for row in read_labelled(file)]
    morph = MorphAnalyzer()
    ours = per_second(lambda row: judge(row.text, is_low=row.is_low, title=row.task_title), rows)
    lemmas = per_second(lambda row: [morph.parse(word) for word in WORD.findall(row.text)], rows)
    print(f"{len(rows):,} comments of {len(files)} files")
    print(f"verdict and reasons      {ours:10,.0f} comments/s")
    print(f"pymorphy3 lemmas alone   {lemmas:10,.0f} comments/s")
    print(f"ratio                    {ours / lemmas:10.2f}")


if __name__ == "__main__":
    main()
