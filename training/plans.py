"""The settings of a training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FineTuningPlan:
    """How to train: `learning_rate` is that of pre-trained weights, `head_learning_rate` that of the new layer."""

    epochs: int
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    seed: int
    jit_compile: bool = True


@dataclass(frozen=True)
class PretrainingPlan:
    """How long and how fast to train. `max_steps` and `max_minutes` cut the epochs short; None does not."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    max_steps: int | None = None
    max_minutes: float | None = None
    jit_compile: bool = True
