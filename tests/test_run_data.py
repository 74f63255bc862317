"""Tests of recipes/runs/run_data.py: what a training says of its data."""

import dataclasses

import pytest
import tiny_models

import fine_tuning
from recipes.runs.run_data import load_data


@pytest.mark.parametrize(("rows", "is_few"), [(50, True), (80, False)])
def test_a_note_says_what_to_expect_of_few_texts(tmp_path, capsys, rows, is_few):
    lines = [f"{'好差'[number % 2]}的房间{number},{1 - number % 2}" for number in range(rows)]
    dataset = tmp_path / "few.csv"
    dataset.write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    plan = dataclasses.replace(fine_tuning.PLAN, dataset=str(dataset))
    _, splits = load_data(plan, tiny_models.masked_lm(max_seq_len=16))
    printed = capsys.readouterr().out
    assert (f"note: {len(splits.train.texts)} training texts are few" in printed) == is_few


@pytest.mark.parametrize("options", [{}, {"multi_label": True}])
def test_a_note_asks_whether_labels_are_several(tmp_path, capsys, options):
    dataset = tmp_path / "topics.csv"
    lines = [f"房间和早餐{number},{('房间', '早餐', '房间|早餐')[number % 3]}" for number in range(60)]
    dataset.write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    plan = dataclasses.replace(fine_tuning.PLAN, dataset=str(dataset), **options)
    load_data(plan, tiny_models.masked_lm(max_seq_len=16))
    printed = capsys.readouterr().out
    assert ("note: is 房间|早餐 several labels of one text? Then add --multi-label" in printed) == (not options)
