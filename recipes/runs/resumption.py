"""What a resumed run must share with the interrupted one: the hashes of its data, in its checkpoint."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from network.pretrained import pretrained_sha256
from recipes.runs.run_folder import CHECKPOINT_NAME
from system.files import sha256_of_file
from text.corpus import fingerprints
from text.dataset.labelled_texts import LabelledTexts
from text.dataset.splits import Split, Splits
from training.engine.checkpoint import Checkpoint
from training.objectives.masked_rows import MaskedText
from training.plans.fine_tuning import FineTuningPlan


def checkpoint_of(
    plan: FineTuningPlan, splits: Splits, distilled: Sequence[Split] = (), masked_text: MaskedText | None = None
) -> Checkpoint:
    """Return the checkpoint of the run, which can be resumed on the same data and the same pre-trained model alone."""
    distillation_data = []
    for split in distilled:
        distillation_data += [hashlib.sha256(split.targets.tobytes()).hexdigest(), *split.texts]
    distillation_data += [
        hashlib.sha256(split.soft_targets.tobytes()).hexdigest()
        for split in (splits.train, *distilled)
        if split.soft_targets is not None
    ]
    further = further_fingerprints(plan, [each.labelled for each in splits.further])
    corpus = [masked_text.corpus.sha256] if masked_text else []
    states = pretrained_sha256(plan.teachers[0], "--teachers") if plan.hidden_loss_weight is not None else []
    sha256 = data_sha256(splits.labelled, plan.pretrained, [*further, *distillation_data, *corpus, *states])
    return Checkpoint(Path(plan.run_folder, CHECKPOINT_NAME), plan.checkpoint_seconds, sha256, plan.checkpoint_steps)


def data_sha256(labelled: LabelledTexts, pretrained: str, other_data: Sequence[str] = ()) -> str:
    """Return a hash of the inputs of a run, in hexadecimal; a run is resumed only if it has not changed.

    Args:
        labelled: the data set.
        pretrained: the pre-trained model, as in `--pretrained`.
        other_data: what stands for further sets, see `further_fingerprints`, and the texts and the targets from the
            teachers.
    """
    # The groups are part of the splits, but not of the hash in a model file.
    data = [labelled.sha256, *(labelled.groups or ()), *pretrained_sha256(pretrained), *other_data]
    return hashlib.sha256("\n".join(data).encode()).hexdigest()


def further_fingerprints(plan: FineTuningPlan, further: Sequence[LabelledTexts]) -> list[str]:
    """Return what differs if the further sets, the corrected labels, or the texts of some options are others.

    These options are `--exclude` and `--prune-vocab`.
    """
    of_sets = [f"{labelled.weight} {labelled.sha256}" for labelled in further]
    groups = [group for labelled in further for group in labelled.groups or ()]
    options = {"--exclude": plan.exclude, "--prune-vocab": plan.prune_vocab}
    files = [each for name, sources in options.items() for each in fingerprints(sources, name)]
    corrections = [sha256_of_file(plan.label_corrections)] if plan.label_corrections else []
    return [*of_sets, *groups, *files, *corrections]
