"""Warnings of the loggers at a terminal."""

from system.output.logs import printable_logger


def test_a_warning_cannot_control_the_terminal(caplog):
    printable_logger("text").warning("%s: %d rows left out", "a\x1b[2J\u202e.csv", 2)
    assert caplog.messages == ["a\\u001b[2J\\u202e.csv: 2 rows left out"]
