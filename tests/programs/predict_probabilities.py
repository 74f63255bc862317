"""Prints the probabilities of texts, (texts, labels), by model file, as JSON. Arguments: the files, --, the texts.

A `.keras` file is read with Keras, an `.onnx` file with ONNX Runtime.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from serving.predictor import Predictor

end = sys.argv.index("--")
result = {}
for path in sys.argv[1:end]:
    runtime = "keras" if path.endswith(".keras") else "onnx"
    result[path] = Predictor(path, runtime=runtime).predict_proba(sys.argv[end + 1 :]).tolist()
print(json.dumps(result))
