"""TensorFlow 1 checkpoints, in which Google published BERT: `NAME.index` and `NAME.data-00000-of-00001`."""

from pathlib import Path

import numpy as np

from network.checkpoints.floats import as_float32
from system.errors import InputError
from system.libraries import quiet_imports

# Parts of the names of what belongs to the training; the same as in `load_tf_weights_in_bert` of transformers.
TRAINING_PARTS = {"adam_m", "adam_v", "AdamWeightDecayOptimizer", "AdamWeightDecayOptimizer_1", "global_step"}


def read_tensorflow(index: Path) -> dict[str, np.ndarray]:
    """Return the variables of a checkpoint, floating-point ones as float32, without the state of the optimizer.

    Args:
        index: the `.index` file.

    Raises:
        InputError: TensorFlow is not installed.
        Exception: the checkpoint is damaged, or its data are not beside the index.
    """
    try:
        with quiet_imports():
            import tensorflow
    except ImportError as error:
        raise InputError(
            f"{index}: a TensorFlow checkpoint, which only TensorFlow can read; run `pip install -r requirements.txt`, "
            "or use a checkpoint with model.safetensors or pytorch_model.bin"
        ) from error
    reader = tensorflow.train.load_checkpoint(str(index.with_suffix("")))
    names = [
        name
        for name, dtype in reader.get_variable_to_dtype_map().items()
        if dtype != tensorflow.string and not TRAINING_PARTS & set(name.split("/"))
    ]
    return {name: as_float32(np.asarray(reader.get_tensor(name))) for name in names}
