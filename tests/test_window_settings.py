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
        ({"spread_windows": 0}, "the number of windows must be at least 1, not 0"),
        ({"spread_windows": 2.0}, "the window setting spread_windows must be a whole number, not 2.0"),
        ({"max_windows": 3, "spread_windows": 3}, "--spread-windows all parts of it: leave out one of the two"),
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
        ({"spread_windows": 1}, [(0, 4)]),
        ({"spread_windows": 2}, [(0, 4), (6, 10)]),
        ({"spread_windows": 3}, [(0, 4), (4, 8), (8, 10)]),
        ({"spread_windows": 2, "stride": 4}, [(0, 4), (6, 10)]),
        ({"spread_windows": 3, "stride": 2}, [(0, 4), (3, 7), (6, 10)]),
        ({"spread_windows": 9, "stride": 3}, [(0, 4), (3, 7), (6, 10)]),
    ],
)
def test_the_windows_of_ten_tokens(settings, spans):
    assert WindowSettings(**settings).spans(num_tokens=10, capacity=4) == spans


class TestReplaced:
    MAXIMUM, SPREAD = WindowSettings(max_windows=3, aggregate="max"), WindowSettings(spread_windows=5)

    def test_other_settings_stay(self):
        assert self.MAXIMUM.replaced({"stride": 9}) == WindowSettings(stride=9, max_windows=3, aggregate="max")
        assert self.MAXIMUM.replaced({}) == self.MAXIMUM

    @pytest.mark.parametrize("number", [1, None])
    def test_one_limit_replaces_the_other(self, number):
        assert self.SPREAD.replaced({"max_windows": number}) == WindowSettings(max_windows=number)
        assert self.MAXIMUM.replaced({"spread_windows": number}) == WindowSettings(
            spread_windows=number, aggregate="max"
        )

    def test_both_limits_are_refused(self):
        with pytest.raises(InputError, match="leave out one of the two"):
            self.SPREAD.replaced({"max_windows": 1, "spread_windows": 1})

    def test_a_value_out_of_range_is_refused(self):
        with pytest.raises(InputError, match="the stride must be at least 1"):
            self.SPREAD.replaced({"stride": 0})


@pytest.mark.parametrize("name", ["max_windows", "spread_windows"])
class TestOptionsOfTheNumberOfWindows:
    @pytest.fixture
    def parse(self, name):
        return WINDOW_OPTIONS[name]["type"]

    def test_accept_a_number_or_all(self, parse):
        assert (parse("3"), parse("all")) == (3, None)

    @pytest.mark.parametrize("text", ["foo", "0", "-1", "1.5"])
    def test_say_that_all_is_accepted(self, parse, text):
        with pytest.raises(argparse.ArgumentTypeError, match="neither a whole number above 0 nor all"):
            parse(text)
