"""Loads the two models of a folder after `import model`, as a user would; prints what they compute, as JSON.

Argument: a folder with classifier.keras, masked_lm.keras and inputs.npz.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import keras
import numpy as np

import model  # noqa: F401  (registers the classes)

FOLDER = Path(sys.argv[1])
INPUTS = dict(np.load(FOLDER / "inputs.npz"))


def output_of(loaded):
    inputs = {name: values for name, values in INPUTS.items() if name in loaded.input}
    return keras.ops.convert_to_numpy(loaded(inputs)).tolist()


result = {}
for name in ("classifier", "masked_lm"):
    loaded = keras.saving.load_model(FOLDER / f"{name}.keras", safe_mode=True)
    result[name] = {
        "output": output_of(loaded),
        "tokenizer_json": loaded.tokenizer_json,
        "config": loaded.get_config(),
        "class": f"{type(loaded).__module__}.{type(loaded).__name__}",
        "compiled": loaded.compiled,
    }
embeddings = loaded.get_layer("bert_embedding").token_embedding.embeddings
embeddings.assign(keras.ops.flip(embeddings, axis=0))
result["output_with_flipped_embeddings"] = output_of(loaded)
print(json.dumps(result))
