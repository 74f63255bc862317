"""The errors that a user can cause, and the signals that end a script."""

import gc
import os
import signal
import sys
import time

import pytest

from system.errors import InputError, OutputError, Terminated, first_line, signals_clean_up


def test_the_first_line_of_an_error():
    assert first_line(ValueError("\nfirst\nsecond")) == "first"
    assert first_line(ValueError()) == "ValueError"


def test_a_file_that_cannot_be_written_is_an_error_of_the_input():
    assert issubclass(OutputError, InputError)


class Signalling:
    """An object that sends a signal to this process while it is destroyed."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        os.kill(os.getpid(), self.number)
        time.sleep(0.01)  # the handler is called here


@pytest.fixture
def default_handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals to itself")
@pytest.mark.usefixtures("default_handlers")
@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_while_an_object_is_destroyed_is_not_lost(number, expected):
    hook = sys.unraisablehook
    with pytest.raises(expected) as end, signals_clean_up():
        Signalling(number)
        gc.collect()
        time.sleep(10)
        pytest.fail("the signal was lost")
    assert type(end.value) is expected and getattr(end.value, "status", 130) == 128 + number
    assert sys.unraisablehook is hook
