"""Comment rules: does a lowered score say why.

Belongs here: levels of a comment, judged from its text alone. Does not belong here: whether a score needs a comment
(`structure.py` knows the threshold), reason tags.

For now one rule: at least three letters, so that a dash, a dot or a blank is a violation. The levels and the
once-per-distinct-text contract are those that the full rule set keeps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

OK = "ok"
VIOLATION = "violation"

MIN_LETTERS = 3


def level(comment: str) -> str:
    """Judges one comment: `ok`, or `violation` when it holds fewer than three letters."""
    letters = 0
    for character in comment:
        letters += character.isalpha()
        if letters >= MIN_LETTERS:
            return OK
    return VIOLATION


def levels(comments: pd.Series[str], must_explain: npt.NDArray[np.bool_]) -> npt.NDArray[np.object_]:
    """Judges each distinct comment once.

    Args:
        comments: texts as written, never null.
        must_explain: whether the score of the row needs an explanation; the others are `ok` whatever they say.

    Returns:
        A level per row.
    """
    asked = comments.to_numpy(dtype=object)[must_explain]
    verdicts = {text: level(text) for text in set(asked)}
    result = np.full(len(comments), OK, dtype=object)
    result[must_explain] = [verdicts[text] for text in asked]
    return result
