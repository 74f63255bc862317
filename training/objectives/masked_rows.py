"""Masked language modelling beside the labels, so that the network learns labels and remains a language model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import KerasTensor

from network.backbone import backbone_layers, backbone_of_any_length, copy_backbone
from network.bert import BertClassifier, BertMaskedLM, masked_lm_head
from network.heads import MASKED_LM_HEAD
from text.packing.packed_rows import PackedCorpus
from text.tokens.masking import Masker
from training.engine.batches.epoch_batches import EpochBatches, MaskedBatches, dataset_of_any_length
from training.masked_lm import masked_accuracy, masked_lm_loss
from training.plans.fine_tuning import FineTuningPlan

CLASSIFICATION, MASKED_LM = "classification", "masked_lm"
# Begins the names of the inputs of the masked rows, which are others than the labelled windows, and fewer.
PREFIX = "masked_row_"


@dataclass(frozen=True)
class MaskedText:
    """The text of masked language modelling, and the model that learns it.

    Attributes:
        model: the pre-trained model; after the training it has the layers that were trained.
        corpus: the rows to train on, and those for the metrics.
        masker: masks the tokens.
    """

    model: BertMaskedLM
    corpus: PackedCorpus
    masker: Masker


class JointModel(keras.Model):
    """A model for labels and for masked language modelling. Its metrics of the labels have their usual names.

    Args:
        inputs: those of labelled windows, and those of masked rows, whose names begin with `PREFIX`.
        outputs: the logits of both, "classification" and "masked_lm".
        weight: the weight of the loss of masked language modelling, in nats a masked token.
    """

    def __init__(self, inputs: dict[str, KerasTensor], outputs: dict[str, KerasTensor], weight: float, **kwargs: Any):
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.weight = weight

    def objectives(self, loss: keras.losses.Loss, metric: Callable[..., KerasTensor]) -> dict[str, Any]:
        """Return losses and metrics as arguments of `compile`.

        Args:
            loss: the loss of the labels.
            metric: the metric of the labels.
        """
        return {
            "loss": {CLASSIFICATION: loss, MASKED_LM: masked_lm_loss()},
            "loss_weights": {CLASSIFICATION: 1.0, MASKED_LM: self.weight},
            "weighted_metrics": {CLASSIFICATION: [metric], MASKED_LM: [masked_accuracy]},
        }

    def get_metrics_result(self) -> dict[str, KerasTensor]:
        metrics = super().get_metrics_result()
        metrics.pop("loss", None)  # the sum of both losses, which the validation has nothing to compare with
        shown = {f"{MASKED_LM}_masked_accuracy": "masked_accuracy"}
        return {shown.get(name, name.removeprefix(f"{CLASSIFICATION}_")): value for name, value in metrics.items()}


def joint_model(
    labelled: keras.Model, classifier: BertClassifier, masked_text: MaskedText, weight: float
) -> JointModel:
    """Return a model that shares the weights of `labelled` and also predicts masked tokens.

    Args:
        labelled: returns the logits of labelled windows, see `network.bert.logits_model`.
        classifier: the classifier whose weights it shares.
        masked_text: its model has the head to start from, which remains as it is until `keep_language_model`.
        weight: see `JointModel`.
    """
    names = ("input_ids", "token_type_ids", "masked_positions", "targets")
    masked = {name: keras.Input((None,), dtype="int32", name=f"{PREFIX}{name}") for name in names}
    embedding = backbone_layers(classifier)[0]
    head = masked_lm_head(classifier.config, embedding)
    encoded = backbone_of_any_length(classifier)({name: masked[name] for name in names[:2]})
    logits = head(encoded["sequence_output"], masked["masked_positions"], masked["targets"])
    head.set_weights(masked_text.model.get_layer(MASKED_LM_HEAD).get_weights())
    # The labelled inputs come first, also by name: Keras weights the loss of a batch, in the mean of the epoch, by the
    # length of its first input.
    inputs = {**labelled.input, **{f"{PREFIX}{name}": tensor for name, tensor in masked.items()}}
    return JointModel(inputs, {CLASSIFICATION: labelled.output, MASKED_LM: logits}, weight)


def keep_language_model(trained: JointModel, classifier: BertClassifier, masked_text: MaskedText) -> None:
    """Copy the layers that were trained to the pre-trained model."""
    copy_backbone(classifier, masked_text.model)
    masked_text.model.get_layer(MASKED_LM_HEAD).set_weights(trained.get_layer(MASKED_LM_HEAD).get_weights())


class JointBatches(keras.utils.PyDataset):
    """Batches of labelled windows, each with some masked rows.

    Args:
        labelled: the batches of labelled windows.
        masked: the batches of masked rows; where they are fewer, their rows come again, with other masks.
    """

    def __init__(self, labelled: EpochBatches, masked: MaskedBatches):
        super().__init__()
        self.labelled = labelled
        self.masked = masked
        self.batch_size = labelled.batch_size

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, index: int) -> tuple[dict, dict, dict]:
        inputs, labels, weights = self.labelled[index]
        number = self.labelled.first_batch + index
        rows = self.masked.rows_of(number % len(self.masked))
        masked_inputs, targets, masked_weights = self.masked.batch(rows, number)
        return (
            {**inputs, **{f"{PREFIX}{name}": values for name, values in masked_inputs.items()}},
            {CLASSIFICATION: labels, MASKED_LM: targets},
            {CLASSIFICATION: weights, MASKED_LM: masked_weights},
        )

    def for_fit(self) -> Any:
        """Return what to pass to `fit`."""
        return dataset_of_any_length(self) if self.labelled.changes_length else self


def joint_batches(
    batches_of: Callable[..., EpochBatches], masked_text: MaskedText, plan: FineTuningPlan
) -> Callable[..., JointBatches]:
    """Return a function that returns the batches of an epoch; its arguments are those of `EpochBatches`.

    Args:
        batches_of: returns the batches of labelled windows.
        masked_text: the rows to mask.
        plan: how many of them come with a batch, and the seed.
    """

    def batches_with_masked_rows(**options: int) -> JointBatches:
        labelled = batches_of(**options)
        masked = MaskedBatches(
            masked_text.corpus.train,
            masked_text.masker,
            max(1, round(plan.masked_rows * labelled.batch_size)),
            mask_seed=plan.seed,
            targets_as_input=True,
            seed=plan.seed,
            epoch=labelled.epoch,
        )
        return JointBatches(labelled, masked)

    return batches_with_masked_rows
