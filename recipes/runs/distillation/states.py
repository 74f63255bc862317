"""The teacher of hidden states: loaded with its network, and checked to read the same tokens as the student."""

import json

from network.bert import BertClassifier, BertModel
from network.checkpoints.conversion import import_bert
from network.model_file import load_model
from network.pretrained import checkpoint_folder
from system.errors import InputError
from text.tokens.cleaning import cleanings_of, with_cleaning
from text.tokens.tokenizer import tokenizer_from_json
from training.objectives.hidden_states import teaching_layers
from training.plans.fine_tuning import FineTuningPlan


def load_state_teacher(plan: FineTuningPlan, student: BertClassifier) -> BertModel | None:
    """Load the model whose hidden states the student learns; None without `--hidden-loss-weight`.

    Args:
        plan: the settings.
        student: the classifier to train.

    Raises:
        InputError: the model cannot be loaded, has another tokenizer, or reads fewer tokens at once than the student.
    """
    if plan.hidden_loss_weight is None:
        return None
    (source,) = plan.teachers
    folder = checkpoint_folder(source, "--teachers")
    teacher = load_model(source) if folder is None else import_bert(folder).model
    if _content(_as_cleaned(teacher.tokenizer_json, student)) != _content(student.tokenizer_json):
        raise InputError(
            f"--hidden-loss-weight: {source} has another tokenizer than {plan.pretrained}, so its hidden states are "
            "those of other tokens; without --hidden-loss-weight it can still teach labels, with --hard-label-weight"
        )
    length, needed = teacher.config.max_seq_len, student.config.max_seq_len
    if length < needed:
        raise InputError(
            f"--hidden-loss-weight: {source} reads at most {length} tokens at once, and the model {needed}: add "
            f"--max-seq-len {length}"
        )
    layers = ", ".join(map(str, teaching_layers(teacher.config.num_layers, student.config.num_layers)))
    print(f"hidden states: those of layers {layers} of {source} (0: the embedding) are learnt")
    return teacher


def _as_cleaned(tokenizer_json: str, student: BertClassifier) -> str:
    """Return a tokenizer with the cleanings of the student's, which change no token."""
    cleanings = cleanings_of(tokenizer_from_json(student.tokenizer_json))
    return with_cleaning(tokenizer_from_json(tokenizer_json), cleanings).to_str()


def _content(tokenizer_json: str) -> dict:
    return json.loads(tokenizer_from_json(tokenizer_json).to_str())
