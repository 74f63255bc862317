"""The grid of option values: its combinations, what it refuses, and the command that trains a combination."""

import dataclasses
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fine_tuning
from system.command_line import parse_plan
from system.errors import InputError
from training.plans.grid import combinations, command_of


def parsed(*options):
    """Return the plan of a command line."""
    return parse_plan(fine_tuning.build_parser(), fine_tuning.PLAN, list(options))[0]


class TestCombinations:
    def test_every_value_meets_every_other(self):
        found = combinations(["learning_rate=1e-4,5e-4", "epochs=2,3"])
        assert [each.values for each in found] == [
            {"learning_rate": rate, "epochs": epochs} for rate in (1e-4, 5e-4) for epochs in (2, 3)
        ]
        assert str(found[1]) == "learning_rate=1e-4 epochs=3"

    @pytest.mark.parametrize(
        ("word", "values"),
        [
            ("unfreeze=0,2,all", [0, 2, "all"]),
            ("pooling=mean,cls", ["mean", "cls"]),
            ("max-windows=all,1", [None, 1]),
            ("--label-smoothing=0,0.1", [0.0, 0.1]),
            ("r_drop=none,0.5", [None, 0.5]),
            ("class_weights=none,balanced", ["none", "balanced"]),
            ("balanced_sampling=false,true", [False, True]),
            ("pretrained=a.keras,b.keras", ["a.keras", "b.keras"]),
            ("seed=1,2", [1, 2]),
        ],
    )
    def test_values_are_those_of_the_command_line(self, word, values):
        (name,) = combinations([word])[0].values
        assert [each.values[name] for each in combinations([word])] == values

    @pytest.mark.parametrize(
        ("grid", "message"),
        [
            (["epochs"], "--grid epochs: write NAME=VALUE,VALUE"),
            (["epoch=1,2"], "epoch cannot be compared; choose among .*, epochs, "),
            (["output=a.keras,b.keras"], "output cannot be compared"),
            (["dataset=a.csv,b.csv"], "dataset cannot be compared"),
            (["test_size=0.1,0.2"], "test_size cannot be compared"),
            (["teachers=a.keras,b.keras"], "teachers cannot be compared"),
            (["save_soft_labels=a.csv,b.csv"], "save_soft_labels cannot be compared"),
            (["monitor=loss,accuracy"], "monitor cannot be compared"),
            (["epochs=1,two"], "--grid epochs: 'two' is not a whole number above 0"),
            (["epochs=1,"], "--grid epochs: a value is missing"),
            (["pretrained="], "--grid pretrained: a value is missing"),
            (["schedule=cosine,steep"], "--grid schedule: 'steep' is not one of cosine, linear, constant"),
            (["balanced_sampling=1,0"], "--grid balanced_sampling: '1' is not one of true, false"),
            (["epochs=none"], "--grid epochs: 'none' is not"),
            (["epochs=1,2", "epochs=3"], "--grid names epochs twice"),
            (["learning_rate=1e-4,0.0001"], "--grid learning_rate=1e-4,0.0001: a value occurs twice"),
            (["epochs=2,2"], "a value occurs twice"),
        ],
    )
    def test_what_is_refused(self, grid, message):
        with pytest.raises(InputError, match=message):
            combinations(grid)


class TestCommand:
    def test_it_holds_what_differs_from_the_defaults(self):
        plan = dataclasses.replace(
            fine_tuning.PLAN, dataset="my reviews.csv", learning_rate=1e-3, unfreeze="all", grid=["epochs=1,2"]
        )
        command = command_of(dataclasses.replace(plan, epochs=2, run_folder="study"), fine_tuning.PLAN)
        assert command == (
            "python fine_tuning.py --dataset 'my reviews.csv' --unfreeze all --epochs 2 --learning-rate 0.001"
        )

    @given(
        learning_rate=st.floats(1e-8, 1, exclude_min=True),
        epochs=st.integers(1, 99),
        unfreeze=st.sampled_from([0, 2, "all"]),
        max_windows=st.sampled_from([None, 1, 7]),
        labels=st.lists(st.sampled_from(["负面", "中性", "正 面"]), unique=True),
        stratify=st.booleans(),
    )
    def test_it_gives_the_plan_again(self, **changes):
        plan = dataclasses.replace(fine_tuning.PLAN, **changes)
        assert parsed(*shlex.split(command_of(plan, fine_tuning.PLAN))[2:]) == plan


def test_a_combination_may_set_what_another_option_needs():
    plan = parsed("--grid", "unfreeze=1,2", "--layer-decay", "0.9")
    assert (plan.layer_decay, plan.study) == (0.9, "grid")


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (
            ["loss=cross-entropy,focal", "focal_gamma=1,2"],
            "--grid loss=cross-entropy focal_gamma=1: --focal-gamma needs --loss focal",
        ),
        (["window=2,16"], "--grid window=2: a window of 2 tokens is too short"),
    ],
)
def test_a_combination_that_cannot_be_trained_is_refused_with_its_values(capsys, grid, message):
    with pytest.raises(SystemExit, match="2"):
        parsed("--grid", *grid)
    assert message in capsys.readouterr().err
