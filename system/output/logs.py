"""Loggers whose messages a terminal may show."""

import logging

from system.output.display import printable


def printable_logger(name: str) -> logging.Logger:
    """Return the logger of a module; names and texts from strangers in its messages cannot control the terminal."""
    logger = logging.getLogger(name)
    logger.addFilter(_spell_out)
    return logger


def _spell_out(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage(), keep="\n"), ()
    return True
