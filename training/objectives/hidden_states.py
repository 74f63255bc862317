"""Distillation of hidden states: a student learns the states of a frozen teacher beside the labels."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from network.backbone import PADDING_ID, backbone_of_any_length, build_backbone, copy_backbone
from network.bert import BertClassifier, BertModel, logits_of
from training.engine.batches.epoch_batches import EpochBatches, dataset_of_any_length
from training.engine.optimizer import STATE_PROJECTIONS

CLASSIFICATION, HIDDEN_STATES = "classification", "hidden_states"
TEACHER = "state_teacher"
Shape = tuple[int | None, ...]


def teaching_layers(num_teacher: int, num_student: int) -> list[int]:
    """Return the layer of the teacher from which each layer of the student learns, from the embedding, 0, upwards.

    Layer m of M learns from layer m·N/M of N, rounded down. Jiao et al., "TinyBERT" (2020), section 3.

    Args:
        num_teacher: number of encoders of the teacher.
        num_student: number of encoders of the student.

    Example:
        >>> teaching_layers(12, 4)
        [0, 3, 6, 9, 12]
    """
    return [layer * num_teacher // num_student for layer in range(num_student + 1)]


class StateTeacher(keras.layers.Layer):
    """A frozen copy of a model that returns its hidden states, without dropout, also in training.

    Args:
        teacher: the model.
        chosen: the layers whose states to return; 0 is the embedding.

    Call arguments:
        inputs: a dict of `input_ids` and `token_type_ids`, int32, (batch, length).

    Returns:
        A list of states, (batch, length, width).
    """

    def __init__(self, teacher: BertModel, chosen: Sequence[int], **kwargs: Any):
        super().__init__(trainable=False, **kwargs)
        # With other paths than the variables of the student: on torch, Keras finds the gradients to reset by the path.
        with keras.name_scope(self.name):
            copy = build_backbone(teacher.config)
        copy_backbone(teacher, copy)
        backbone = backbone_of_any_length(copy)
        states = backbone.output["hidden_states"]
        self.num_states, self.width = len(chosen), teacher.config.d_model
        self.network = keras.Model(backbone.input, [states[layer] for layer in chosen])
        self.network.trainable = False

    def call(self, inputs: dict[str, KerasTensor]) -> list[KerasTensor]:
        return [ops.stop_gradient(state) for state in self.network(inputs, training=False)]

    def compute_output_shape(self, inputs_shape: dict[str, Shape]) -> list[Shape]:
        return [(*inputs_shape["input_ids"], self.width)] * self.num_states


class StateDistance(keras.layers.Layer):
    """The mean squared error of a student's states, each after a learnt linear projection to the teacher's width.

    Jiao et al., "TinyBERT" (2020), equations 8 and 9, whose layers share a projection. Here each has its own, because
    the states of a pre-norm network grow from layer to layer.

    Call arguments:
        states: a list of the student's states, (batch, length, d_model).
        targets: a list of as many states of the teacher, (batch, length, width).
        padding_mask: bool, (batch, length), True at real tokens.

    Returns:
        float32, (batch,), the mean over states, real tokens and width.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(dtype="float32", **kwargs)
        self.projections = []

    def build(self, states_shape: list[Shape], targets_shape: list[Shape], padding_mask_shape: Shape) -> None:
        for number, (shape, target) in enumerate(zip(states_shape, targets_shape, strict=True)):
            projection = keras.layers.Dense(target[-1], name=f"projection_{number}", dtype="float32")
            projection.build(shape)
            self.projections.append(projection)

    def call(self, states: list[KerasTensor], targets: list[KerasTensor], padding_mask: KerasTensor) -> KerasTensor:
        errors = [
            ops.mean(ops.square(projection(state) - target), axis=-1)
            for projection, state, target in zip(self.projections, states, targets, strict=True)
        ]
        is_token = ops.cast(padding_mask, "float32")
        of_tokens = sum(errors) / len(errors) * is_token
        return ops.sum(of_tokens, axis=-1) / ops.maximum(ops.sum(is_token, axis=-1), 1.0)

    def compute_output_shape(
        self, states_shape: list[Shape], targets_shape: list[Shape], padding_mask_shape: Shape
    ) -> Shape:
        return padding_mask_shape[:1]


class OutputLoss(keras.losses.Loss):
    """The loss of an output that is the loss of each row, (batch,), already; the targets mean nothing."""

    def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
        return y_pred


class StudentModel(keras.Model):
    """A model for labels and for the hidden states of a teacher. Its metrics of the labels have their usual names.

    Args:
        inputs: those of labelled windows.
        outputs: the logits, "classification", and the distances of the states, "hidden_states", see `StateDistance`.
        weight: the weight of the distances in the loss.
    """

    def __init__(self, inputs: dict[str, KerasTensor], outputs: dict[str, KerasTensor], weight: float, **kwargs: Any):
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.weight = weight

    @property
    def fixed_variables(self) -> list[keras.Variable]:
        """The variables of the teacher, which a checkpoint does not contain."""
        return self.get_layer(TEACHER).variables

    def objectives(self, loss: keras.losses.Loss, metric: Callable[..., KerasTensor]) -> dict[str, Any]:
        """Return losses and metrics as arguments of `compile`.

        Args:
            loss: the loss of the labels.
            metric: the metric of the labels.
        """
        return {
            "loss": {CLASSIFICATION: loss, HIDDEN_STATES: OutputLoss(reduction="mean_with_sample_weight")},
            "loss_weights": {CLASSIFICATION: 1.0, HIDDEN_STATES: self.weight},
            "weighted_metrics": {CLASSIFICATION: [metric], HIDDEN_STATES: []},
        }

    def get_metrics_result(self) -> dict[str, KerasTensor]:
        metrics = super().get_metrics_result()
        metrics.pop("loss", None)  # the sum of both losses, which the validation has nothing to compare with
        return {name.removeprefix(f"{CLASSIFICATION}_"): value for name, value in metrics.items()}


def student_model(classifier: BertClassifier, teacher: BertModel, weight: float) -> StudentModel:
    """Return a model that shares the weights of a classifier and also learns the hidden states of a teacher.

    The teacher reads the same windows. Its projections have no use after the training.

    Args:
        classifier: the student.
        teacher: a model with the same tokenizer that reads at least as many tokens at once; it remains as it is.
        weight: see `StudentModel`.
    """
    backbone = backbone_of_any_length(classifier)
    chosen = teaching_layers(teacher.config.num_layers, classifier.config.num_layers)
    targets = StateTeacher(teacher, chosen, name=TEACHER)(backbone.input)
    distances = StateDistance(name=STATE_PROJECTIONS)(
        backbone.output["hidden_states"], targets, backbone.output["padding_mask"]
    )
    outputs = {CLASSIFICATION: logits_of(classifier, backbone), HIDDEN_STATES: distances}
    return StudentModel(backbone.input, outputs, weight)


class StudentBatches(keras.utils.PyDataset):
    """Batches of labelled windows, for a `StudentModel`.

    The distance of a window weighs as much as it has tokens, so that the loss is the mean over the tokens of a batch.

    Args:
        labelled: the batches of labelled windows.
    """

    def __init__(self, labelled: EpochBatches):
        super().__init__()
        self.labelled = labelled
        self.batch_size = labelled.batch_size

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, index: int) -> tuple[dict, dict, dict]:
        inputs, labels, weights = self.labelled[index]
        num_tokens = np.count_nonzero(inputs["input_ids"] != PADDING_ID, axis=1).astype(np.float32)
        return (
            inputs,
            {CLASSIFICATION: labels, HIDDEN_STATES: np.zeros_like(num_tokens)},
            {CLASSIFICATION: weights, HIDDEN_STATES: num_tokens},
        )

    def for_fit(self) -> Any:
        """Return what to pass to `fit`."""
        return dataset_of_any_length(self) if self.labelled.changes_length else self


def student_batches(batches_of: Callable[..., EpochBatches]) -> Callable[..., StudentBatches]:
    """Return a function that returns the batches of an epoch; its arguments are those of `EpochBatches`.

    Args:
        batches_of: returns the batches of labelled windows.
    """
    return lambda **options: StudentBatches(batches_of(**options))
