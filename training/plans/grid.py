"""The grid of option values that a study compares: its combinations, and the command that trains one of them."""

import argparse
import dataclasses
import itertools
import shlex
from collections.abc import Collection
from typing import Any

from system.command_line import option_name
from system.errors import InputError
from text.dataset.options import DataOptions
from text.tokens.window_options import WINDOW_OPTIONS
from training.plans.training_options import TrainingOptions

SCRIPT = "fine_tuning.py"
UNSET = "none"  # as a value: what the option is without being typed
FLAGS = {"true": True, "false": False}
# The metric that orders the combinations cannot be one of their settings, and a file to write is none.
NOT_COMPARED = ("monitor", "save_soft_labels")
# A command that trains one combination as a normal run has no use for the study's own options.
NOT_REPEATED = ("grid", "run_folder", "resume", "dry_run")


@dataclasses.dataclass(frozen=True)
class Combination:
    """One combination of option values.

    Attributes:
        texts: the values as the user wrote them, by field.
        values: the values, by field.
    """

    texts: dict[str, str]
    values: dict[str, Any]

    def __str__(self) -> str:
        return " ".join(f"{name}={text}" for name, text in self.texts.items())


def combinations(grid: Collection[str]) -> list[Combination]:
    """Return every combination of the values of a grid.

    Args:
        grid: the values of each option, such as ["learning_rate=1e-4,5e-4", "epochs=2,3"].

    Raises:
        InputError: an option cannot be compared, a value is not one of its option, or something occurs twice.
    """
    allowed = _allowed_fields()
    axes: dict[str, dict[str, Any]] = {}
    for word in grid:
        name, equals, texts = word.partition("=")
        name = name.removeprefix("--").replace("-", "_")
        if not equals:
            raise InputError(f"--grid {word}: write NAME=VALUE,VALUE, such as learning_rate=1e-4,5e-4")
        if name not in allowed:
            raise InputError(f"--grid {word}: {name} cannot be compared; choose among {', '.join(sorted(allowed))}")
        if name in axes:
            raise InputError(f"--grid names {name} twice: write all its values after one {name}=")
        axes[name] = _values(allowed[name], texts.split(","))
    products = (dict(zip(axes, texts, strict=True)) for texts in itertools.product(*axes.values()))
    return [Combination(texts, {name: axes[name][text] for name, text in texts.items()}) for texts in products]


def command_of(plan: Any, defaults: Any) -> str:
    """Return the command line that trains with the settings of a plan.

    Args:
        plan: the plan of a fine-tuning.
        defaults: the plan of the script, whose values need not be typed.
    """
    words = ["python", SCRIPT]
    for field in dataclasses.fields(plan):
        value = getattr(plan, field.name)
        if field.name in NOT_REPEATED or value == getattr(defaults, field.name):
            continue
        words.append(option_name(field.name))
        if isinstance(value, list):
            words += value
        elif value is not True:
            words.append(str(value))
    return shlex.join(words)


def _allowed_fields() -> dict[str, dataclasses.Field]:
    """Return the options that a grid can compare: single values that leave the validation split as it is."""
    of_windows = (field for field in dataclasses.fields(DataOptions) if field.name in WINDOW_OPTIONS)
    fields = [*dataclasses.fields(TrainingOptions), *of_windows]
    return {field.name: field for field in fields if "nargs" not in field.metadata and field.name not in NOT_COMPARED}


def _values(field: dataclasses.Field, texts: list[str]) -> dict[str, Any]:
    values = {text: _parse(field, text) for text in texts}
    different = {repr(value) for value in values.values()}
    if len(different) < len(texts):
        raise InputError(f"--grid {field.name}={','.join(texts)}: a value occurs twice")
    return values


def _parse(field: dataclasses.Field, text: str) -> Any:
    """Return the value of an option, parsed as on the command line; true and false stand for a flag."""
    choices = FLAGS if isinstance(field.default, bool) else field.metadata.get("choices")
    if choices is not None and text in choices:
        return FLAGS[text] if choices is FLAGS else text
    if field.default is None and text == UNSET:
        return None
    if choices is not None:
        raise InputError(f"--grid {field.name}: '{text}' is not one of {', '.join(choices)}")
    try:
        if not text:
            raise argparse.ArgumentTypeError("a value is missing")
        return field.metadata.get("type", str)(text)
    except argparse.ArgumentTypeError as error:
        raise InputError(f"--grid {field.name}: {error}") from error
