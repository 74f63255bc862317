"""Predict a batch, fork, and predict it again in the child; print both sums of probabilities. Argument: the model."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from serving.predictor import Predictor

TEXTS = [f"房间{'很' * number}干净，前台也热情。" for number in range(200)]

predictor = Predictor(sys.argv[1], runtime="onnx")
print(sum(prediction.probability for prediction in predictor.predict(TEXTS)), flush=True)
child = os.fork()
if child == 0:
    print(sum(prediction.probability for prediction in predictor.predict(TEXTS)), flush=True)
    os._exit(0)
os.waitpid(child, 0)
