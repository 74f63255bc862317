"""AdamW with warm-up, schedules, lower learning rates for lower layers, and a moving average of the weights."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops
from keras.optimizers import schedules

from layers import PACKAGE

HEAD = "classification_output"
STATE_PROJECTIONS = "state_projections"  # always new, see `training.objectives.hidden_states`
NOT_DECAYED = ("gamma", "beta", "bias")  # normalisations and biases, as in BERT


def decaying_learning_rate(
    peak: float, total_steps: int, warmup_fraction: float = 0.06, decay: str = "cosine"
) -> float | schedules.LearningRateSchedule:
    """Return a schedule that rises linearly to `peak` and then falls to 0, in `total_steps` steps.

    A single step has the learning rate `peak`.

    Args:
        peak: the highest learning rate.
        total_steps: number of steps. With gradient accumulation each batch counts as one, for Keras does so.
        warmup_fraction: fraction of the steps in which the learning rate rises; at least one step unless it is 0.
        decay: "cosine" or "linear", or "constant" to stay at `peak` after the rise.
    """
    warmup_steps = min(max(1, round(total_steps * warmup_fraction)), total_steps - 1) if warmup_fraction else 0
    if total_steps == 1 or (decay == "constant" and not warmup_steps):
        return peak
    if decay == "linear":
        return LinearDecay(peak, total_steps, warmup_steps)
    return schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else peak,
        decay_steps=total_steps - warmup_steps,
        alpha=1.0 if decay == "constant" else 0.0,  # the fraction that the cosine ends at
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


@keras.saving.register_keras_serializable(package=PACKAGE)
class LinearDecay(schedules.LearningRateSchedule):
    """A learning rate that rises linearly to a peak and falls linearly to 0; that of Keras has no rise.

    Args:
        peak: the highest learning rate.
        total_steps: number of steps, more than `warmup_steps`.
        warmup_steps: number of steps in which the learning rate rises.
    """

    def __init__(self, peak: float, total_steps: int, warmup_steps: int):
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps

    def __call__(self, step: KerasTensor) -> KerasTensor:
        step = ops.cast(step, "float32")
        rise = step / max(1, self.warmup_steps)
        fall = (self.total_steps - step) / (self.total_steps - self.warmup_steps)
        return self.peak * ops.maximum(ops.where(step < self.warmup_steps, rise, fall), 0.0)

    def get_config(self) -> dict:
        return {"peak": self.peak, "total_steps": self.total_steps, "warmup_steps": self.warmup_steps}


def pretraining_optimizer(peak: float, total_steps: int, weight_decay: float = 0.01) -> keras.optimizers.Optimizer:
    """Return AdamW for pre-training, without weight decay for biases and normalisations."""
    optimizer = keras.optimizers.AdamW(
        decaying_learning_rate(peak, total_steps),
        weight_decay=weight_decay,
        beta_2=0.98,
        epsilon=1e-6,
        global_clipnorm=1.0,
    )
    optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer


def fine_tuning_optimizer(
    learning_rate: float,
    head_learning_rate: float,
    total_steps: int,
    *,
    backbone_layers: Sequence[str] = (),
    new_layers: Sequence[str] = (),
    layer_decay: float = 1.0,
    schedule: str = "cosine",
    warmup: float = 0.06,
    weight_decay: float = 0.0,
    clip_norm: float = 1.0,
    accumulate: int = 1,
    ema: float | None = None,
) -> keras.optimizers.Optimizer:
    """Return AdamW for fine-tuning, with `head_learning_rate` for new layers and `learning_rate` for all others.

    Args:
        learning_rate: peak learning rate of the layers below the head.
        head_learning_rate: peak learning rate of the head, of `STATE_PROJECTIONS` and of `new_layers`.
        total_steps: number of batches of the whole training.
        backbone_layers: the names of the layers below the head, from the bottom up.
        new_layers: the names of further layers that start from random weights.
        layer_decay: factor of the learning rate from each of them to the one below it. Clark et al., "ELECTRA" (2020),
            appendix B.
        schedule: see `decay` of `decaying_learning_rate`.
        warmup: see `warmup_fraction` of `decaying_learning_rate`.
        weight_decay: per step and unit of the learning rate; biases and normalisations have none.
        clip_norm: maximum norm of the gradient of all weights.
        accumulate: number of batches whose mean gradient is one step.
        ema: momentum per step of a moving average of the weights, see `averaged_weights`; None for none.
    """
    ratio = learning_rate / head_learning_rate
    distances = range(len(backbone_layers) - 1, -1, -1)
    factors = {name: ratio * layer_decay**distance for name, distance in zip(backbone_layers, distances, strict=True)}
    new = dict.fromkeys((HEAD, STATE_PROJECTIONS, *new_layers), 1.0)
    optimizer = DiscriminativeAdamW(
        decaying_learning_rate(head_learning_rate, total_steps, warmup, schedule),
        factors=new | (factors if layer_decay != 1 else {}),
        other_factor=ratio,
        weight_decay=weight_decay,
        epsilon=1e-6,
        global_clipnorm=clip_norm,
        gradient_accumulation_steps=accumulate if accumulate > 1 else None,
        use_ema=ema is not None,
        # Keras updates the average after every batch, so that `accumulate` updates are one step.
        ema_momentum=ema ** (1 / accumulate) if ema is not None else 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer


@keras.saving.register_keras_serializable(package=PACKAGE)
class DiscriminativeAdamW(keras.optimizers.AdamW):
    """AdamW with a separate learning rate for some layers. Howard and Ruder, "ULMFiT" (2018), section 3.2.

    Args:
        learning_rate: learning rate of a layer with factor 1.
        factors: the factor of the learning rate, by name of a layer.
        other_factor: the factor of all other layers.
        options: see `keras.optimizers.AdamW`.
    """

    def __init__(
        self,
        learning_rate: float | schedules.LearningRateSchedule,
        factors: dict[str, float],
        other_factor: float = 1.0,
        **options: Any,
    ):
        super().__init__(learning_rate, **options)
        self.factors = factors
        self.other_factor = other_factor

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        layer_names = [variable.path.split("/")[0] for variable in variables]
        self._factor_of_variable = [self.factors.get(name, self.other_factor) for name in layer_names]

    def update_step(self, gradient: KerasTensor, variable: keras.Variable, learning_rate: KerasTensor) -> None:
        super().update_step(gradient, variable, learning_rate * self._factor_of(variable))

    def _factor_of(self, variable: keras.Variable) -> float:
        # Each backend passes variables of its own, which do not know the layer they belong to.
        return self._factor_of_variable[self._get_variable_index(variable)]

    def _apply_weight_decay(self, variables: list[keras.Variable]) -> None:
        """Decay each weight by the learning rate of its layer; Keras would take that of the head for all."""
        if not self.weight_decay:
            return
        for variable in variables:
            if self._use_weight_decay(variable):
                rate = ops.cast(self.learning_rate * self._factor_of(variable) * self.weight_decay, variable.dtype)
                variable.assign(variable - variable * rate)

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        """Leave the weights as they are: `fit`, which ends after every epoch, would replace them by their average."""

    @property
    def averages(self) -> list[keras.Variable]:
        """The moving averages of the weights that the optimizer was built with; empty without `use_ema`.

        Empty also before the first step, when they are zeros: in float16 all steps of a short epoch may be skipped.
        """
        has_averages = self.use_ema and ops.convert_to_numpy(self.iterations) > 0
        return self._model_variables_moving_average if has_averages else []

    def get_config(self) -> dict:
        return super().get_config() | {"factors": self.factors, "other_factor": self.other_factor}


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Set the weights of a compiled model to their moving average while a block runs; without one do nothing."""
    variables = model.trainable_variables if _averages_of(model) else []
    weights = _copies(variables)
    use_averaged_weights(model)
    try:
        yield
    finally:
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)


def use_averaged_weights(model: keras.Model) -> None:
    """Set the weights of a compiled model to their moving average; without one do nothing.

    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992).
    """
    if averages := _averages_of(model):
        # Not by the method of Keras, after which weights and averages share their memory on jax, where `predict`
        # gives up that of the weights.
        for variable, value in zip(model.trainable_variables, _copies(averages), strict=True):
            variable.assign(value)


def _averages_of(model: keras.Model) -> list[keras.Variable]:
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # float16 has loss scaling around it
    return getattr(optimizer, "averages", [])


def _copies(variables: list[keras.Variable]) -> list[np.ndarray]:
    # On torch the arrays would otherwise share the memory of the variables.
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]
