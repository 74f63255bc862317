"""Runs model.py as a script for its help, then imports it: prints where the registered model classes come from."""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.argv = ["model.py", "--help"]
try:
    runpy.run_path("model.py", run_name="__main__")
except SystemExit as end:
    import keras

    import model

    registered = [
        keras.saving.get_registered_object(f"mini_bert>{name}") for name in ("BertClassifier", "BertMaskedLM")
    ]
    print(end.code, *(one.__module__ for one in registered), registered == [model.BertClassifier, model.BertMaskedLM])
