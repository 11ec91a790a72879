"""The second net: persons found by natasha's model, for names that no list holds.

Belongs here: loading the model that the extra `[ner]` brings, and asking it. Does not belong here: what is done with
what it finds (`redaction.py`).

The model runs on slovnet and navec, with numpy alone. Natasha's package is only where its two files lie: it is never
imported, since it needs pymorphy2, which needs a setuptools of the past.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slovnet import NER

    from assets.rules.redaction import Net

MODEL, WORDS = "data/model/slovnet_ner_news_v1.tar", "data/emb/navec_news_v1_1B_250K_300d_100q.tar"
PERSON = "PER"


def load() -> Net | None:
    """The second net, None if the extra `[ner]` is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("natasha", "navec", "slovnet")):
        return None
    return _persons


def _persons(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Begin and end of each person in each text."""
    found: list[list[tuple[int, int]]] = [[] for _ in texts]
    # Texts of one length fill a batch without padding, which costs as much as words do.
    order = sorted((at for at, text in enumerate(texts) if text.strip()), key=lambda at: len(texts[at]))
    for at, marked in zip(order, _model().map([texts[at] for at in order]), strict=True):
        found[at] = [(span.start, span.stop) for span in marked.spans if span.type == PERSON]
    return found


@cache
def _model() -> NER:
    from navec import Navec
    from slovnet import NER

    spec = importlib.util.find_spec("natasha")
    folder = next(iter(spec.submodule_search_locations or ())) if spec else ""
    model = NER.load(f"{folder}/{MODEL}")
    return model.navec(Navec.load(f"{folder}/{WORDS}"))
