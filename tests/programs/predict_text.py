"""Prints the label that a model predicts for a text. Arguments: the model, the text."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from serving.predictor import Predictor

print(Predictor(sys.argv[1]).predict([sys.argv[2]])[0].label)
