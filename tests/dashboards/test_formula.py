from __future__ import annotations

import pytest

from datalens_specs.formula import FormulaError, parse, to_sql


@pytest.mark.parametrize(
    ("formula", "sql"),
    [
        ("SUM([a])", "sumOrNull(a)"),
        ("SUM([a] * [b]) / SUM([b])", "(sumOrNull((a * b)) / nullIf(sumOrNull(b), 0))"),
        ('SUM(IF([a] = "да", 1, 0))', "sumOrNull(if((a = 'да'), 1, 0))"),
        ('CONCAT([a], " и ", [b])', "concat(a, ' и ', b)"),
        ("1 + 2 * 3 - 4", "((1 + (2 * 3)) - 4)"),
        ("(1 + 2) * 3", "((1 + 2) * 3)"),
        ('DATETRUNC([a], "quarter")', "toStartOfQuarter(a)"),
        ("COUNT()", "count()"),
        ("IFNULL([a], 0)", "ifNull(a, 0)"),
    ],
)
def test_a_formula_says_the_same_in_clickhouse(formula: str, sql: str) -> None:
    assert to_sql(parse(formula), lambda title: title) == sql


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("SUM([a]", "a ')' is missing"),
        ("SUM([a]) [b]", "nothing may follow"),
        ("RANK([a])", "RANK is no function that specs may use"),
        ("SUM(AVG([a]))", "SUM stands around another aggregate"),
        ("SUM([a]) + [b]", "without an aggregate of its own"),
        ("[a] +", "something is missing"),
        ("IF([a], 1)", "IF takes 3 values"),
        ('DATETRUNC([a], "day")', "DATETRUNC cuts to"),
        ("[a] ; [b]", "cannot be read"),
        ("SUM([a]) / )", "')' stands where a value should"),
    ],
)
def test_a_formula_that_is_none_is_refused_with_the_place(formula: str, said: str) -> None:
    with pytest.raises(FormulaError) as error:
        parse(formula)
    assert said in str(error.value)


def test_quotes_of_a_text_cannot_leave_it() -> None:
    assert to_sql(parse('CONCAT([a], "it\'s")'), lambda title: title) == "concat(a, 'it\\'s')"
