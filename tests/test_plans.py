"""The plans: options that contradict each other, and values derived from the fields."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

import fine_tuning
import pretrain
from system.errors import InputError
from text.tokens.window_options import WINDOW_OPTIONS
from text.tokens.window_settings import WindowSettings
from training.plans.pretraining import PRESETS

ROOT = Path(__file__).resolve().parents[1]


def changed(plan, **changes):
    return dataclasses.replace(plan, **changes)


def test_importing_the_plans_loads_neither_numpy_nor_keras():
    command = [sys.executable, ROOT / "tests" / "programs" / "modules_of_import.py", "training.plans.fine_tuning"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    modules = json.loads(done.stdout)
    assert "training.plans.fine_tuning" in modules
    assert {"numpy", "keras"}.isdisjoint(modules)


@pytest.mark.parametrize("plan", [fine_tuning.PLAN, pretrain.PLAN], ids=["fine_tuning", "pretraining"])
def test_every_field_is_an_option(plan):
    assert all(field.metadata["help"] and field.metadata["group"] for field in dataclasses.fields(plan))


class TestFineTuningPlan:
    def test_the_window_settings_are_those_of_the_options(self):
        assert fine_tuning.PLAN.windows == WindowSettings()
        settings = {"window": 32, "stride": 5, "spread_windows": 3, "aggregate": "max"}
        assert changed(fine_tuning.PLAN, **settings).windows == WindowSettings(**settings)

    def test_every_window_setting_is_an_option(self):
        assert [field.name for field in dataclasses.fields(WindowSettings)] == list(WINDOW_OPTIONS)

    def test_a_window_too_short_is_refused(self):
        with pytest.raises(InputError, match="window of 2 tokens"):
            changed(fine_tuning.PLAN, window=2)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"teachers": ["a.keras"]}, "--teachers"),
            ({"backbone_output": "b.keras"}, "--unfreeze"),
            ({"backbone_output": "./a.keras", "output": "a.keras", "unfreeze": 1}, "must be different files"),
            ({"output": "model"}, "model: the name of a model file must end with .keras"),
            ({"output": "model.onnx"}, "must end with .keras"),
            ({"backbone_output": "b.h5", "unfreeze": 1}, "must end with .keras"),
            ({"max_windows": 2, "spread_windows": 2}, "--max-windows reads .* --spread-windows .*: leave out one"),
            ({"document_loss": True, "aggregate": "max"}, "--aggregate max needs --unfreeze: the head alone"),
            ({"document_loss": True, "aggregate": "logsumexp"}, "--aggregate logsumexp needs --unfreeze"),
            ({"seeds": 2, "output": "a.keras"}, "leave out --output"),
            ({"seeds": 2, "report_folder": "a"}, "leave out --report-folder"),
            ({"seeds": 2, "seed": 2**32 - 1}, "seeds end at 4294967295"),
        ],
    )
    def test_contradicting_options_are_refused(self, changes, message):
        with pytest.raises(InputError, match=message):
            changed(fine_tuning.PLAN, **changes).check(changes)

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"teachers": ["a.keras"], "mixtures": 9},
            {"teachers": ["a.keras"], "unlabelled": ["a.txt"]},
            {"backbone_output": "b.keras", "unfreeze": "all"},
            {"document_loss": True, "aggregate": "max", "unfreeze": 1},
            {"document_loss": True, "aggregate": "mean"},
            {"max_windows": None, "spread_windows": 2},
            {"seeds": 2, "seed": 2**32 - 2},
        ],
    )
    def test_other_options_are_accepted(self, changes):
        changed(fine_tuning.PLAN, **changes).check(changes)


class TestPretrainingPlan:
    def test_sizes_come_from_the_preset_unless_given(self):
        plan = changed(pretrain.PLAN, preset="small", d_model=32)
        assert plan.sizes == PRESETS["small"] | {"d_model": 32}
        assert pretrain.PLAN.sizes == PRESETS["mini"]
        assert plan.with_sizes().num_layers == 4 and plan.with_sizes().sizes == plan.sizes

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"num_heads": 3}, "--num-heads 3 does not divide --d-model 64"),
            ({"preset": "small", "d_model": 30}, "--num-heads 4 does not divide --d-model 30"),
            ({"max_seq_len": 2}, "--max-seq-len 2"),
        ],
    )
    def test_contradicting_sizes_are_refused(self, changes, message):
        with pytest.raises(InputError, match=message):
            changed(pretrain.PLAN, **changes)

    def test_sizes_beside_a_pretrained_model_are_refused(self):
        changes = {"pretrained": "a.keras", "num_heads": 3, "tokenizer": "own"}
        with pytest.raises(InputError, match="leave out --tokenizer, --num-heads"):
            changed(pretrain.PLAN, **changes).check(changes)
        changed(pretrain.PLAN, pretrained="a.keras").check(["pretrained"])
