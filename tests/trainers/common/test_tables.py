"""Tables as text."""

from trainers.common.tables import format_markdown, format_table

ROWS = [{"name": "a", "km": 1234.5, "note": None}, {"name": "long", "km": 2, "note": "x"}]


def test_columns_are_aligned_and_numbers_stand_to_the_right():
    assert format_table(ROWS) == "\n".join(["name     km  note", "a     1,234", "long      2  x"])


def test_a_format_holds_for_its_column_and_what_is_missing_stays_empty():
    lines = format_table([*ROWS, {"name": "none", "km": None, "note": None}], {"km": ",.2f"}).splitlines()
    assert [line.split()[1:2] for line in lines[1:]] == [["1,234.50"], ["2.00"], []]


def test_markdown_has_a_cell_for_every_value():
    assert format_markdown([{"a": "1", "b": "2"}]).splitlines() == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]
