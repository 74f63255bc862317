"""The README.md of a folder of `serving.export.keras_export`: what the model is, and a program that uses it."""

from network.bert import BertClassifier
from network.metadata import Metadata
from serving.runtimes.onnx_check import INPUT, OUTPUT

MARK = "<!-- written by mini-BERT -->\n"
START = """\
import numpy as np
{imports}
from tokenizers import Tokenizer

texts = ["房间很干净，早餐也丰富。", "隔音太差。"]
tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.encode_special_tokens = True  # a typed "[SEP]" is text
tokenizer.enable_truncation({length})
tokenizer.enable_padding()
input_ids = np.array([encoding.ids for encoding in tokenizer.encode_batch(texts)], np.int32)
"""
END = "\nprint(probabilities)"
# By format: the packages to install, the import, and the code that computes the logits.
PROGRAMS = {
    "openvino": (
        "openvino",
        "import openvino",
        """\
# Without this setting, some processors compute with 16 bits.
model = openvino.compile_model("model.xml", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
logits = model(input_ids)["{output}"]""",
    ),
    "saved-model": (
        "tensorflow",
        "import tensorflow as tf",
        """\
model = tf.saved_model.load(".").signatures["serving_default"]
logits = model({input}=tf.constant(input_ids))["{output}"].numpy()""",
    ),
    "litert": (
        "ai-edge-litert",
        "from ai_edge_litert.interpreter import Interpreter",
        """\
model = Interpreter("model.tflite").get_signature_runner("serving_default")
logits = model({input}=input_ids)["{output}"]""",
    ),
}
SIGMOID = "probabilities = 1 / (1 + np.exp(-logits / {temperature!r}))"
SOFTMAX = """\
exponentials = np.exp((logits - logits.max(axis=1, keepdims=True)) / {temperature!r})
probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)"""


def readme(classifier: BertClassifier, name: str) -> str:
    """Return the README.md of a classifier in a format, one of `PROGRAMS`."""
    metadata = Metadata.from_json(classifier.metadata, "the model")
    length, labels = classifier.config.max_seq_len, metadata.labels
    package, imports, run = PROGRAMS[name]
    to_probabilities = SIGMOID if labels.is_binary or labels.multi_label else SOFTMAX
    program = "\n".join(
        [
            START.format(imports=imports, length=metadata.windows.window or length),
            run.format(input=INPUT, output=OUTPUT),
            to_probabilities.format(temperature=metadata.temperature),
        ]
    )
    return f"""\
{MARK}# A Chinese text classifier, for {name}

- Input: `{INPUT}`, int32, (batch, length), the ids of `[CLS] … [SEP]`, filled up with 0 to a common length of at most
  {length}. `tokenizer.json` makes them.
- Output: `{OUTPUT}`, float32, (batch, {labels.num_outputs}).
- Temperature: {metadata.temperature!r}, by which to divide the logits.
- Labels: {_described_labels(metadata)}

```bash
pip install numpy tokenizers {package}
```

```python
{program}{END}
```

mini-BERT reads a longer text in windows, and combines their logits; this program reads its beginning.
"""


def _described_labels(metadata: Metadata) -> str:
    """Return the names of the labels, and how a probability becomes a label."""
    labels = metadata.labels
    if labels.is_binary:
        first, second = labels.names
        return (
            f"{second} if its probability, the one of the output, is at least {metadata.threshold:.4g}, else {first}."
        )
    if labels.multi_label:
        pairs = zip(labels.names, metadata.threshold, strict=True)
        each = ", ".join(f"{name} ({threshold:.4g})" for name, threshold in pairs)
        return f"{each}; a text has each of them whose probability is at least the number in brackets."
    return f"{', '.join(labels.names)}; a text has the most probable one."
