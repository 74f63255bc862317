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
from training.plans.training_options import FEW_TEXTS, OF_EPOCHS

ROOT = Path(__file__).resolve().parents[1]
# A teacher of hidden states.
STATES = {"teachers": ["a.keras"], "hidden_loss_weight": 0.5, "unfreeze": 1}


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

    @pytest.mark.parametrize(
        ("changes", "study"),
        [
            ({}, None),
            ({"seeds": 2}, "seeds"),
            ({"folds": 5}, "folds"),
            ({"folds": 5, "fold": 0}, None),
            ({"grid": ["epochs=1,2"]}, "grid"),
        ],
    )
    def test_the_study_that_the_options_ask_for(self, changes, study):
        assert changed(fine_tuning.PLAN, **changes).study == study

    @pytest.mark.parametrize(
        ("changes", "texts", "fitted"),
        [
            ({}, FEW_TEXTS - 1, True),
            ({}, FEW_TEXTS, False),
            ({"loss": "focal"}, 10, False),
            ({"head_fit": "epochs"}, 10, False),
            ({"head_fit": "convergence"}, FEW_TEXTS, True),
        ],
    )
    def test_when_the_head_is_fitted_until_it_converges(self, changes, texts, fitted):
        assert changed(fine_tuning.PLAN, **changes).fits_head(texts) == fitted

    @pytest.mark.parametrize("name", OF_EPOCHS)
    def test_an_option_of_the_epochs_means_epochs_for_a_frozen_network(self, name):
        assert fine_tuning.PLAN.with_typed([name]).head_fit == "epochs"
        assert fine_tuning.PLAN.with_typed(["seed"]).head_fit == "auto"
        assert changed(fine_tuning.PLAN, unfreeze="all").with_typed([name]).head_fit == "auto"
        assert changed(fine_tuning.PLAN, head_fit="convergence").with_typed([name]).head_fit == "convergence"

    def test_a_head_cannot_converge_to_the_focal_loss(self):
        with pytest.raises(InputError, match="leave out --loss or --head-fit"):
            changed(fine_tuning.PLAN, loss="focal", head_fit="convergence").check(["loss", "head_fit"])

    def test_every_window_setting_is_an_option(self):
        assert [field.name for field in dataclasses.fields(WindowSettings)] == list(WINDOW_OPTIONS)

    def test_a_window_too_short_is_refused(self):
        with pytest.raises(InputError, match="window of 2 tokens"):
            changed(fine_tuning.PLAN, window=2)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"teachers": ["a.keras"]}, "--teachers have no texts .* --mixtures or, .* --hard-label-weight"),
            ({"hard_label_weight": 0.5, "mixtures": 9}, "--hard-label-weight leaves the rest to teachers: add --teach"),
            ({"teacher_temperature": 2.0}, "--teacher-temperature has no teachers: add --unlabelled, --mixtures"),
            (STATES | {"teacher_temperature": 2.0}, "--teacher-temperature has no teachers"),
            (STATES | {"teachers": []}, "needs the hidden states of one teacher, but --teachers names no files: name"),
            (STATES | {"teachers": ["a.keras", "b.keras"]}, "but --teachers names 2 files: name one"),
            (STATES | {"teachers": ["a.onnx"]}, "a.onnx gives no hidden states; name the .keras file or the folder"),
            (STATES | {"unfreeze": 0}, "--hidden-loss-weight changes nothing while the backbone is frozen: add --unf"),
            (STATES | {"corpus": ["a.txt"]}, "--hidden-loss-weight cannot be combined with --corpus: leave out one"),
            (STATES | {"prune_vocab": ["a.txt"]}, "--hidden-loss-weight cannot be combined with --prune-vocab: leave"),
            (STATES | {"document_loss": True}, "--hidden-loss-weight cannot be combined with --document-loss: leave"),
            (STATES | {"r_drop": 1.0}, "--hidden-loss-weight cannot be combined with --r-drop: leave out one"),
            (STATES | {"fgm": 1.0}, "--hidden-loss-weight cannot be combined with --fgm: leave out one of the two"),
            ({"save_soft_labels": "a.csv"}, "--save-soft-labels has no texts to save"),
            ({"save_soft_labels": "a.txt", "mixtures": 9}, "--save-soft-labels a.txt: .* must end with .csv"),
            ({"save_soft_labels": "a.csv", "mixtures": 9, "seeds": 2}, "--seeds would .* leave out --save-soft-labels"),
            ({"save_soft_labels": "a.csv", "mixtures": 9, "folds": 5}, "--folds would .* leave out --save-soft-labels"),
            ({"save_soft_labels": "a.csv", "grid": ["mixtures=1,2"]}, "--grid would .* leave out --save-soft-labels"),
            ({"soft_labels": ["a.csv"], "folds": 5}, "--folds test on every row .* train for one --fold at a time"),
            ({"soft_labels": ["a.csv=0"]}, "--soft-labels a.csv=0: the weight must be a number above 0"),
            ({"backbone_output": "b.keras"}, "--unfreeze"),
            ({"backbone_output": "./a.keras", "output": "a.keras", "unfreeze": 1}, "must be different files"),
            ({"head_dropout_rate": 0.1}, "--head-dropout-rate has no effect on a frozen network: add --unfreeze"),
            ({"output": "model"}, "model: the name of a model file must end with .keras"),
            ({"output": "model.onnx"}, "must end with .keras"),
            ({"backbone_output": "b.h5", "unfreeze": 1}, "must end with .keras"),
            ({"class_weights": "balanced", "balanced_sampling": True}, "twice: leave out one of the two"),
            ({"class_weights": "effective", "multi_label": True}, "--class-weights needs one label per text"),
            ({"balanced_sampling": True, "multi_label": True}, "--balanced-sampling needs one label per text"),
            ({"focal_gamma": 2.0}, "--focal-gamma needs --loss focal"),
            ({"patience": 2}, "--patience needs --monitor"),
            ({"monitor": "micro_f1"}, "needs --multi-label; .* use --monitor accuracy"),
            ({"r_drop": 1.0}, "--r-drop changes nothing while the backbone is frozen: add --unfreeze"),
            ({"fgm": 1.0}, "--fgm changes nothing .* add --unfreeze"),
            ({"layer_decay": 0.9}, "--layer-decay changes nothing .* add --unfreeze"),
            ({"precision": "mixed_bfloat16"}, "--precision changes nothing .* add --unfreeze"),
            ({"r_drop": 1.0, "unfreeze": 1, "dropout_rate": 0.0}, "set --dropout-rate above 0"),
            ({"fgm": 1.0, "unfreeze": 1, "precision": "mixed_float16"}, "use --precision mixed_bfloat16 or float32"),
            ({"corpus": ["a.txt"]}, "--corpus changes nothing while the backbone is frozen: add --unfreeze"),
            ({"corpus": ["a.txt"], "unfreeze": 1, "r_drop": 1.0}, "--corpus cannot be combined with --r-drop"),
            ({"corpus": ["a.txt"], "unfreeze": 1, "document_loss": True}, "cannot .* with --document-loss: leave out"),
            ({"masked_lm_weight": 1.0, "unfreeze": 1}, "--masked-lm-weight needs --corpus"),
            ({"max_windows": 2, "spread_windows": 2}, "--max-windows reads .* --spread-windows .*: leave out one"),
            ({"document_loss": True, "aggregate": "max"}, "--aggregate max needs --unfreeze: the head alone"),
            ({"document_loss": True, "aggregate": "logsumexp"}, "--aggregate logsumexp needs --unfreeze"),
            ({"seeds": 2, "output": "a.keras"}, "leave out --output"),
            ({"label_columns": ["a", "b"]}, "--label-columns needs --multi-label"),
            ({"label_separator": ","}, "--label-separator needs --multi-label"),
            ({"multi_label": True, "label_separator": ""}, "--label-separator must not be empty"),
            ({"multi_label": True, "label_columns": ["a", "b", "a"]}, "--label-columns name a column twice"),
            (
                {"multi_label": True, "label_columns": ["a", "b"], "label_separator": ","},
                "--label-separator splits the values of --label-column",
            ),
            (
                {"multi_label": True, "label_columns": ["a", "b"], "label_column": "c"},
                "--label-columns replace --label-column",
            ),
            ({"seeds": 2, "report_folder": "a"}, "leave out --report-folder"),
            ({"seeds": 2, "seed": 2**32 - 1}, "seeds end at 4294967295"),
            ({"folds": 5, "output": "a.keras"}, "--folds saves each model .* leave out --output"),
            ({"folds": 5, "seeds": 2}, "--seeds and --folds cannot be combined"),
            ({"grid": ["epochs=1,2"], "seeds": 2}, "--seeds and --grid cannot be combined"),
            ({"grid": ["epochs=1,2"], "report_folder": "a"}, "leave out --report-folder"),
            ({"grid": ["epoch=1,2"]}, "epoch cannot be compared"),
            ({"grid": ["patience=1,2"]}, "--grid patience=1: --patience needs --monitor"),
        ],
    )
    def test_contradicting_options_are_refused(self, changes, message):
        with pytest.raises(InputError, match=message):
            changed(fine_tuning.PLAN, **changes).check(changes)

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("dataset", "soft.csv"),
            ("dataset", "link.csv"),
            ("test_dataset", "here/../soft.csv"),
            ("also", ["other.csv", "soft.csv=0.5"]),
            ("soft_labels", ["soft.csv=2"]),
            ("unlabelled", ["."]),
            ("unlabelled", ["*.csv"]),
            ("exclude", ["soft.csv"]),
            ("corpus", ["other.txt", "soft.csv"]),
            ("teachers", ["soft.csv"]),
        ],
    )
    def test_soft_labels_overwrite_no_other_file(self, tmp_path, monkeypatch, option, value):
        monkeypatch.chdir(tmp_path)
        Path("soft.csv").touch()
        Path("link.csv").symlink_to("soft.csv")
        changes = {"save_soft_labels": "soft.csv", "mixtures": 9, "unfreeze": 1, option: value}
        with pytest.raises(InputError, match=f"--save-soft-labels soft.csv is also in --{option.replace('_', '-')};"):
            changed(fine_tuning.PLAN, **changes).check(changes)

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"teachers": ["a.keras"], "mixtures": 9},
            {"teachers": ["a.keras"], "unlabelled": ["a.txt"]},
            STATES,
            STATES | {"hard_label_weight": 0.5, "teacher_temperature": 2.0, "folds": 5},
            {"teachers": ["a.keras"], "unfreeze": 1, "grid": ["hidden_loss_weight=0.1,1"]},
            {"soft_labels": ["a.csv=0.5"], "folds": 5, "fold": 0},
            {"soft_labels": ["a.csv"], "save_soft_labels": "b.csv", "mixtures": 9, "dataset": "texts/c.csv"},
            {"backbone_output": "b.keras", "unfreeze": "all"},
            {"head_dropout_rate": 0.1, "unfreeze": 1, "pooling": "cls"},
            {"class_weights": "balanced", "loss": "focal", "focal_gamma": 1.5, "label_smoothing": 0.1},
            {"balanced_sampling": True, "monitor": "macro_f1", "patience": 2, "ema": 0.99},
            {"multi_label": True, "monitor": "micro_f1"},
            {"unfreeze": 1, "r_drop": 1.0, "fgm": 0.5, "layer_decay": 0.9, "precision": "mixed_bfloat16"},
            {"unfreeze": "all", "r_drop": 1.0, "dropout_rate": 0.0, "head_dropout_rate": 0.1},
            {"corpus": ["a.txt"], "unfreeze": "all", "masked_rows": 0.5, "masked_lm_weight": 2.0},
            {"document_loss": True, "aggregate": "max", "unfreeze": 1},
            {"document_loss": True, "aggregate": "mean"},
            {"max_windows": None, "spread_windows": 2},
            {"seeds": 2, "seed": 2**32 - 2},
            {"folds": 5},
            {"folds": 5, "fold": 4, "output": "a.keras"},
            {"grid": ["patience=1,2"], "monitor": "loss"},
            {"multi_label": True, "label_column": "c", "label_separator": ","},
            {"multi_label": True, "label_columns": ["a", "b"]},
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

    def test_only_the_vocabulary_of_a_pretrained_model_can_be_cut(self):
        with pytest.raises(InputError, match="--prune-vocab cuts .*: add --pretrained"):
            changed(pretrain.PLAN, prune_vocab=["sample"]).check(["prune_vocab"])
        changed(pretrain.PLAN, prune_vocab=["sample"], pretrained="a.keras").check(["prune_vocab", "pretrained"])
