"""The two languages of the report page: each sentence is written in both, side by side, where it is used."""

from __future__ import annotations

import math
from collections.abc import Mapping

from evaluation.analysis.intervals import Interval

CHINESE, ENGLISH = "zh", "en"
LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")  # the first one that is set counts, as in POSIX


def default_language(environment: Mapping[str, str]) -> str:
    """Return the language of a locale: Chinese for a Chinese one, English for any other."""
    locale = next((environment[name] for name in LOCALE_VARIABLES if environment.get(name)), "")
    return CHINESE if locale.lower().startswith(CHINESE) else ENGLISH


class Language:
    """Call it with a sentence in English and in Chinese to get the one that the page has.

    Args:
        code: "zh" or "en".
    """

    def __init__(self, code: str) -> None:
        self.code = code

    def __call__(self, english: str, chinese: str) -> str:
        return chinese if self.code == CHINESE else english

    def join(self, items: list[str]) -> str:
        """Return items as a list in a sentence."""
        return self(", ", "、").join(items)


def percent(fraction: float, digits: int = 1) -> str:
    """Return a fraction as a percentage; a dash where there is none."""
    return "–" if math.isnan(fraction) else f"{fraction:.{digits}%}"


def points(difference: float) -> str:
    """Return a difference of fractions in percentage points, with its sign."""
    return f"{100 * difference:+.1f}"


def percent_interval(interval: Interval) -> str:
    """Return a fraction with the ends of its interval, such as "90.8% [89.2, 92.3]"."""
    if math.isnan(interval.low):
        return percent(interval.value)
    return f"{percent(interval.value)} [{100 * interval.low:.1f},\N{NO-BREAK SPACE}{100 * interval.high:.1f}]"


def number_interval(interval: Interval) -> str:
    """Return a number with the ends of its interval, such as "0.893 [0.874, 0.911]"."""
    return f"{interval.value:.3f} [{interval.low:.3f},\N{NO-BREAK SPACE}{interval.high:.3f}]"
