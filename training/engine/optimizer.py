"""AdamW with warm-up, a decaying learning rate, and lower learning rates for pre-trained layers."""

from typing import Any

import keras
from keras import KerasTensor

from layers import PACKAGE


def decaying_learning_rate(
    peak: float, total_steps: int, warmup_fraction: float = 0.06
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return a schedule that rises linearly to `peak` and then falls to 0 along a cosine, in `total_steps` steps.

    A single step has the learning rate `peak`.
    """
    warmup_steps = min(max(1, round(total_steps * warmup_fraction)), total_steps - 1) if total_steps > 1 else 0
    if not warmup_steps:
        return peak
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=total_steps - warmup_steps,
        warmup_target=peak,
        warmup_steps=warmup_steps,
    )


def pretraining_optimizer(peak: float, total_steps: int, weight_decay: float = 0.01) -> keras.optimizers.Optimizer:
    """Return AdamW for pre-training, without weight decay for biases and normalisations."""
    optimizer = keras.optimizers.AdamW(
        decaying_learning_rate(peak, total_steps),
        weight_decay=weight_decay,
        beta_2=0.98,
        epsilon=1e-6,
        global_clipnorm=1.0,
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def fine_tuning_optimizer(
    learning_rate: float, head_learning_rate: float, total_steps: int
) -> keras.optimizers.Optimizer:
    """Return AdamW for fine-tuning, with `head_learning_rate` for the head and `learning_rate` for other layers."""
    return DiscriminativeAdamW(
        decaying_learning_rate(head_learning_rate, total_steps),
        factors={"classification_output": 1.0},
        other_factor=learning_rate / head_learning_rate,
        weight_decay=0.0,
        epsilon=1e-6,
        global_clipnorm=1.0,
    )


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
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
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
        # Each backend passes variables of its own, which do not know the layer they belong to.
        factor = self._factor_of_variable[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self) -> dict:
        return super().get_config() | {"factors": self.factors, "other_factor": self.other_factor}
