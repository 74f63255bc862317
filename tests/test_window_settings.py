"""The window settings: values out of range, and the windows of a text."""

import argparse

import pytest

from system.errors import InputError
from text.tokens.window_options import WINDOW_OPTIONS
from text.tokens.window_settings import WindowSettings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 2}, "a window of 2 tokens is too short"),
        ({"window": 4.5}, "the window setting window must be a whole number, not 4.5"),
        ({"window": True}, "the window setting window must be a whole number, not True"),
        ({"stride": 0}, "the stride must be at least 1 token, not 0"),
        ({"stride": -3}, "the stride must be at least 1 token, not -3"),
        ({"max_windows": 0}, "the number of windows must be at least 1, not 0"),
        ({"max_windows": "2"}, "the window setting max_windows must be a whole number, not '2'"),
        ({"aggregate": "median"}, "the aggregate must be one of harmonic, mean, max, logsumexp, not 'median'"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        WindowSettings(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 9}, "a window of 9 tokens is too long: the model reads at most 8"),
        ({"stride": 7}, "a stride of 7 tokens would skip some of the text: a window of 8 tokens holds 6 of it"),
    ],
)
def test_a_setting_that_does_not_fit_the_model_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        WindowSettings(**settings).capacity(8)


def test_the_capacity_is_the_window_without_the_special_tokens():
    assert WindowSettings().capacity(8) == 6
    assert WindowSettings(window=5).capacity(8) == 3


@pytest.mark.parametrize(
    ("settings", "spans"),
    [
        ({}, [(0, 4), (4, 8), (8, 10)]),
        ({"max_windows": 2}, [(0, 4), (4, 8)]),
        ({"stride": 4}, [(0, 4), (3, 7), (6, 10)]),
        ({"stride": 4, "max_windows": 1}, [(0, 4)]),
    ],
)
def test_the_windows_of_ten_tokens(settings, spans):
    assert WindowSettings(**settings).spans(num_tokens=10, capacity=4) == spans


class TestMaxWindowsOption:
    parse = staticmethod(WINDOW_OPTIONS["max_windows"]["type"])

    def test_accepts_a_number_or_all(self):
        assert (self.parse("3"), self.parse("all")) == (3, None)

    @pytest.mark.parametrize("text", ["foo", "0", "-1", "1.5"])
    def test_says_that_all_is_accepted(self, text):
        with pytest.raises(argparse.ArgumentTypeError, match="neither a whole number above 0 nor all"):
            self.parse(text)
