"""Fetch items in a thread."""

import itertools
import time

import pytest

from serving.scoring.background import in_background
from system.errors import InputError


class Counter:
    """The natural numbers, and how many of them were fetched."""

    def __init__(self):
        self.num_fetched = 0

    def __iter__(self):
        for number in itertools.count():
            self.num_fetched += 1
            yield number


def one_item_and_an_error():
    yield 1
    raise InputError("no more")


def test_items_come_in_order():
    assert list(in_background(range(100))) == list(range(100))
    assert list(in_background([])) == []


def test_an_error_comes_after_the_items_before_it():
    results = in_background(one_item_and_an_error())
    assert next(results) == 1
    with pytest.raises(InputError, match="no more"):
        next(results)


def test_a_consumer_that_stops_ends_the_thread():
    numbers = Counter()
    results = in_background(numbers)
    next(results)
    results.close()
    count = numbers.num_fetched
    assert count < 10
    time.sleep(0.3)
    assert numbers.num_fetched == count
