"""What the plans share: help texts, defaults and the check of model file names."""

from pathlib import Path

from system.errors import InputError

RESUME_HELP = "continue the interrupted run in --run-folder, with its settings"
DRY_RUN_HELP = "check all input, print what the run would use, and stop before training"
CHECKPOINT_SECONDS_HELP = "seconds between two checkpoints"
CHECKPOINT_STEPS_HELP = "write a checkpoint also after every N training steps"
PRETRAINED_HELP = "a .keras file, a folder with a BERT checkpoint of Hugging Face or TensorFlow 1, or the hub id of one"
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
MASK_RATE = 0.2  # fraction of the tokens that masked language modelling masks
CACHE_FOLDER = "runs/cache"  # for tokenized corpora and the answers of teachers
DISTRIBUTED_HELP = (
    "train on all devices of this process, and of the other processes that the environment names by Keras' variables "
    "KERAS_DISTRIBUTION_… or as Slurm, Open MPI or Kubernetes; needs KERAS_BACKEND=jax"
)
LANGUAGES = ("zh", "en")  # of a report page
PRECISION_HELP = "precision of the computation; the mixed ones are faster on a GPU"


def require_room(max_seq_len: int | None) -> None:
    """Require that the network can read a token and the two special ones around it."""
    if max_seq_len is not None and max_seq_len < 3:
        raise InputError(
            f"--max-seq-len {max_seq_len} is too short: it must be at least 3, for [CLS], a token and [SEP]"
        )


def require_page_name(option: str, path: str) -> None:
    """Require the name of a page, so that no model and no data is overwritten by mistake."""
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{option} {path}: the name of a page must end with .html")


def require_model_names(*paths: str | None) -> None:
    """Require the suffix .keras, without which Keras would refuse to save the model after hours of training."""
    for path in paths:
        # The attempt to write to a folder has its own error message.
        if path is not None and Path(path).suffix != ".keras" and not Path(path).is_dir():
            raise InputError(f"{path}: the name of a model file must end with .keras")
