"""The errors that a user can cause."""

from system.errors import InputError, OutputError, first_line


def test_the_first_line_of_an_error():
    assert first_line(ValueError("\nfirst\nsecond")) == "first"
    assert first_line(ValueError()) == "ValueError"


def test_a_file_that_cannot_be_written_is_an_error_of_the_input():
    assert issubclass(OutputError, InputError)
