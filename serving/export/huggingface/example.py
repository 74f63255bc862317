"""Classify a text: `python example.py TEXT`. Needs numpy, onnxruntime and tokenizers."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

FOLDER = Path(__file__).resolve().parent
session = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"), providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["mini_bert"])
metadata = about["metadata"]
tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
tokenizer.encode_special_tokens = True  # a typed "[SEP]" is text
tokenizer.enable_truncation(metadata["windows"]["window"] or about["max_seq_len"])
input_ids = np.array([tokenizer.encode(" ".join(sys.argv[1:])).ids], np.int32)
logits = session.run(["logits"], {"input_ids": input_ids})[0][0] / metadata["temperature"]
if metadata.get("multi_label"):
    probabilities = 1 / (1 + np.exp(-logits))
else:
    if len(logits) == 1:  # two labels share the logit of the second one
        logits = np.append(0, logits)
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
for label, probability in zip(metadata["labels"], probabilities, strict=True):
    print(f"{label}\t{probability:.4f}")
