"""Tables in Markdown."""

from system.output.display import display_width
from system.output.markdown import markdown_table


def test_columns_are_aligned_at_a_terminal_too():
    table = markdown_table([["", "准确率"], ["很好", "0.5"], ["a|b", "10"]])
    assert table.splitlines() == [
        "|      | 准确率 |",
        "| ---- | -----: |",
        "| 很好 |    0.5 |",
        "| a\\|b |     10 |",
    ]
    assert len({display_width(line) for line in table.splitlines()}) == 1
