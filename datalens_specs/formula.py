"""The part of DataLens's formula language that specs may use.

Belongs here: reading a formula, what it refers to, whether it aggregates, and the same formula as ClickHouse SQL and as
a tree that a web page can reckon with. Does not belong here: which fields exist (`specs.py`).

One small language instead of DataLens's whole one, because every formula has to give the same figure in three places:
DataLens, SQL of the pictures and tests, and the preview. What is accepted here is spelled in DataLens exactly the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

AGGREGATES = {"SUM", "AVG", "MIN", "MAX", "COUNT", "COUNTD"}
_SQL_AGGREGATES = {"SUM": "sum", "AVG": "avg", "MIN": "min", "MAX": "max", "COUNT": "count", "COUNTD": "uniqExact"}
# Name to the fewest and most arguments.
SCALARS = {
    "IF": (3, 3),
    "CONCAT": (2, 9),
    "ROUND": (1, 2),
    "SQRT": (1, 1),
    "ZN": (1, 1),
    "IFNULL": (2, 2),
    "DATETRUNC": (2, 2),
}
_TRUNCATIONS = {"month": "toStartOfMonth", "quarter": "toStartOfQuarter", "year": "toStartOfYear"}

_TOKEN = re.compile(
    r"""\s*(?:(?P<field>\[[^\[\]]+\])|(?P<number>\d+(?:\.\d+)?)|(?P<text>"[^"\\]*")|(?P<name>[A-Za-z_]\w*)"""
    r"""|(?P<sign><=|>=|!=|[-+*/(),=<>]))"""
)
_COMPARISONS = {"=", "!=", "<", "<=", ">", ">="}


class FormulaError(ValueError):
    """A formula that cannot be read; the message says where it stops making sense."""


@dataclass(frozen=True)
class Node:
    """One step of a formula.

    Attributes:
        kind: `field`, `number`, `text`, `call`, or an operator: `+ - * / = != < <= > >=`.
        value: title of the field, the number, the text, or the function's name in capitals.
        arguments: operands, in order.
    """

    kind: str
    value: str | float = ""
    arguments: tuple[Node, ...] = ()

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for argument in self.arguments:
            yield from argument.walk()

    @property
    def fields(self) -> list[str]:
        """Titles it refers to, in order of appearance."""
        return [str(node.value) for node in self.walk() if node.kind == "field"]

    @property
    def aggregates(self) -> bool:
        """Whether it is a measure."""
        return any(node.kind == "call" and node.value in AGGREGATES for node in self.walk())

    def tree(self, name_of: Callable[[str], Any]) -> list[Any]:
        """The formula as nested lists for the page: `[kind, value, *arguments]`; fields by what `name_of` returns."""
        value = name_of(str(self.value)) if self.kind == "field" else self.value
        return [self.kind, value, *(argument.tree(name_of) for argument in self.arguments)]


def parse(text: str) -> Node:
    """Reads a formula.

    Raises:
        FormulaError: if it is none, uses a function that is not known here, or aggregates an aggregate.
    """
    tokens = _Tokens(text)
    node = _comparison(tokens)
    if tokens.here is not None:
        raise FormulaError(f"nothing may follow after {text[: tokens.start].strip()!r}")
    for call in node.walk():
        if call.kind == "call" and call.value in AGGREGATES and any(a.aggregates for a in call.arguments):
            raise FormulaError(f"{call.value} stands around another aggregate")
    if node.aggregates and _bare_field(node):
        raise FormulaError("a field stands beside an aggregate without an aggregate of its own")
    return node


def to_sql(node: Node, sql_of: Callable[[str], str]) -> str:
    """The formula in ClickHouse SQL.

    Args:
        node: the formula.
        sql_of: title of a field to its expression.
    """
    parts = [to_sql(argument, sql_of) for argument in node.arguments]
    if node.kind == "field":
        return sql_of(str(node.value))
    if node.kind == "number":
        return f"{node.value:g}"
    if node.kind == "text":
        return "'" + str(node.value).replace("'", "\\'") + "'"
    if node.kind == "/":
        # DataLens divides by nullIf too: a share of nothing is no figure.
        return f"({parts[0]} / nullIf({parts[1]}, 0))"
    if node.kind != "call":
        return f"({parts[0]} {node.kind} {parts[1]})"
    if node.value in AGGREGATES:
        inner = _SQL_AGGREGATES[str(node.value)]
        if node.value == "SUM":
            # The sum of no figures is no figure, as in SQL; ClickHouse alone says 0.
            return f"sumOrNull({parts[0]})"
        return f"{inner}({', '.join(parts)})"
    return _scalar_sql(node, parts)


def _scalar_sql(node: Node, parts: list[str]) -> str:
    if node.value == "DATETRUNC":
        return f"{_TRUNCATIONS[str(node.arguments[1].value)]}({parts[0]})"
    if node.value == "ZN":
        return f"ifNull({parts[0]}, 0)"
    name = {"IF": "if", "CONCAT": "concat", "ROUND": "round", "SQRT": "sqrt", "IFNULL": "ifNull"}[str(node.value)]
    return f"{name}({', '.join(parts)})"


class _Tokens:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.start = 0
        self.here: re.Match[str] | None = None
        self.advance()

    def advance(self) -> None:
        self.start = self.position
        if not self.text[self.position :].strip():
            self.here = None
            return
        self.here = _TOKEN.match(self.text, self.position)
        if self.here is None:
            raise FormulaError(f"{self.text[self.position :].strip()!r} cannot be read")
        self.position = self.here.end()

    def sign(self) -> str:
        return (self.here and self.here["sign"]) or ""

    def take(self, sign: str) -> None:
        if self.sign() != sign:
            raise FormulaError(f"a {sign!r} is missing after {self.text[: self.start].strip()!r}")
        self.advance()


def _comparison(tokens: _Tokens) -> Node:
    left = _sum(tokens)
    if (sign := tokens.sign()) in _COMPARISONS:
        tokens.advance()
        return Node(sign, "", (left, _sum(tokens)))
    return left


def _sum(tokens: _Tokens) -> Node:
    left = _product(tokens)
    while (sign := tokens.sign()) in ("+", "-"):
        tokens.advance()
        left = Node(sign, "", (left, _product(tokens)))
    return left


def _product(tokens: _Tokens) -> Node:
    left = _atom(tokens)
    while (sign := tokens.sign()) in ("*", "/"):
        tokens.advance()
        left = Node(sign, "", (left, _atom(tokens)))
    return left


def _atom(tokens: _Tokens) -> Node:
    here = tokens.here
    if here is None:
        raise FormulaError(f"something is missing after {tokens.text.strip()!r}")
    if here["sign"] == "(":
        tokens.advance()
        inner = _comparison(tokens)
        tokens.take(")")
        return inner
    if here["sign"]:
        raise FormulaError(f"{here['sign']!r} stands where a value should")
    tokens.advance()
    if here["field"]:
        return Node("field", here["field"][1:-1])
    if here["number"]:
        return Node("number", float(here["number"]))
    if here["text"]:
        return Node("text", here["text"][1:-1])
    return _call(here["name"].upper(), tokens)


def _call(name: str, tokens: _Tokens) -> Node:
    if name not in AGGREGATES and name not in SCALARS:
        known = ", ".join(sorted(AGGREGATES | SCALARS.keys()))
        raise FormulaError(f"{name} is no function that specs may use; there are {known}")
    tokens.take("(")
    arguments: list[Node] = []
    while tokens.sign() != ")":
        if arguments and tokens.sign() == ",":
            tokens.advance()
        elif arguments:
            break
        arguments.append(_comparison(tokens))
    tokens.take(")")
    fewest, most = SCALARS.get(name, (0 if name == "COUNT" else 1, 1))
    if not fewest <= len(arguments) <= most:
        raise FormulaError(f"{name} takes {fewest if fewest == most else f'{fewest} to {most}'} values")
    if name == "DATETRUNC" and arguments[1].value not in _TRUNCATIONS:
        raise FormulaError(f"DATETRUNC cuts to {', '.join(_TRUNCATIONS)}")
    return Node("call", name, tuple(arguments))


def _bare_field(node: Node) -> bool:
    if node.kind == "call" and node.value in AGGREGATES:
        return False
    return node.kind == "field" or any(_bare_field(argument) for argument in node.arguments)
