"""Numbers in Russian sentences.

Belongs here: forms that grammar asks for. Does not belong here: any sentence.
"""

from __future__ import annotations


def counted(number: float, one: str, few: str, many: str) -> str:
    """A whole number with its noun in the right form: 1 оценка, 2 оценки, 5 оценок."""
    whole = round(number)
    tens, ones = abs(whole) % 100, abs(whole) % 10
    if 11 <= tens <= 14 or ones not in {1, 2, 3, 4}:
        return f"{whole} {many}"
    return f"{whole} {one if ones == 1 else few}"
