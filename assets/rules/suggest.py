"""Words that the lists should learn: frequent in comments that were not understood.

Belongs here: which words are worth a look. Does not belong here: the lists (`lexicon`), reading comments.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

import pandas as pd

from assets.rules import reasons
from assets.rules.text import is_name, normal_form, tokens, translit, word
from assets.rules.wording import term

FEWEST_RATERS = 4
"""A word that fewer raters use could tell who wrote the comment: the k of the release rules."""


_NAME_PART = re.compile(r"[^\W\d_]+")
SHORTEST_STEM = 4


def _begins_like(word: str, stems: set[str]) -> bool:
    return any(word[:length] in stems for length in range(2, len(word) + 1))


def suggest(comments: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Lemmas that no list knows.

    Args:
        comments: columns rater_key and comment.
        names: full names of employees; their parts are never suggested.

    Returns:
        Columns lemma, raters and comments (how many of each use it), most raters first; only lemmas that at least
        four raters use, that are no function word and nobody's name.
    """
    people = {part for name in names for part in _NAME_PART.findall(name.lower().replace("ё", "е"))}
    # Cases change endings, and of a name that the dictionary lacks it guesses the lemma.
    stems = {part[: max(SHORTEST_STEM, len(part) - 3)] for part in people}
    raters: dict[str, set[str]] = defaultdict(set)
    used: dict[str, int] = defaultdict(int)
    for rater, comment in zip(comments["rater_key"], comments["comment"], strict=True):
        lemmas = {
            found.lemmas[0]
            for token in tokens(normal_form(comment))
            if token[0].isalpha()
            for found in (word(token),)
            if not (found.is_function or term(token).is_listed or reasons.is_listed(token) or is_name(token))
            and not any(_begins_like(form, stems) for form in (token, translit(token), *found.lemmas))
        }
        for lemma in lemmas:
            raters[lemma].add(rater)
            used[lemma] += 1
    rows = [(lemma, len(found), used[lemma]) for lemma, found in raters.items() if len(found) >= FEWEST_RATERS]
    table = pd.DataFrame(rows, columns=["lemma", "raters", "comments"])
    return table.sort_values(["raters", "comments", "lemma"], ascending=[False, False, True], ignore_index=True)
