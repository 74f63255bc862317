"""Fetch items in a thread."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

ITEMS_AHEAD = 2
Item = TypeVar("Item")


def in_background(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items, which a thread fetches ahead, so that reading, prediction and writing overlap."""
    fetched, is_wanted = queue.Queue(ITEMS_AHEAD), threading.Event()
    is_wanted.set()

    def fetch() -> None:
        error = None
        try:
            for item in items:
                while is_wanted.is_set():
                    with contextlib.suppress(queue.Full):
                        fetched.put((item, None), timeout=0.1)
                        break
                if not is_wanted.is_set():
                    return
        except BaseException as raised:  # raised again in the consumer's thread
            error = raised
        while is_wanted.is_set():
            with contextlib.suppress(queue.Full):
                fetched.put((None, error or StopIteration()), timeout=0.1)
                return

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    try:
        while True:
            item, end = fetched.get()
            if isinstance(end, StopIteration):
                return
            if end is not None:
                raise end
            yield item
    finally:
        is_wanted.clear()
        thread.join()
