"""The command python -m recipes.report: models and data of all kinds, and what it refuses."""

import csv
import json
import re

import pytest
from scripts import assert_one_error
from tiny_models import ASPECTS, EMOTIONS

from recipes.report.__main__ import main

TEXTS = ("房间很干净", "早餐难吃", "服务热情，下次再来", "隔音太差", "位置不错")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write_csv(path, rows, header=("text", "label")):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def rows_of(labels, count=15, name=""):
    return [(f"{TEXTS[row % len(TEXTS)]}{name}{row}", labels[row % len(labels)]) for row in range(count)]


def page_of(capsys, *arguments):
    assert main([*arguments]) == 0
    printed = capsys.readouterr().out
    output = re.fullmatch(r"Report on \d+ texts saved to (.+\.html)\n", printed)[1]
    with open(output, encoding="utf-8") as file:
        return file.read()


def test_two_labels_with_marked_mistakes(tiny_model, here, capsys):
    data = write_csv(here / "reviews.csv", [*rows_of(["1", "0"]), ("", "1")])
    page = page_of(capsys, "--model", str(tiny_model), "--dataset", data)
    assert '<html lang="en">' in page and "Report on tiny.keras" in page
    assert "Tested on 15 texts of reviews.csv" in page and "1 unusable rows are left out" in page
    assert '<mark class="for strong"' in page
    assert 'id="robustness"' in page and 'id="thresholds"' in page
    assert "TF-IDF is not compared" in page
    assert not re.search(r"(src|href)=\"(?!#)", page)


def test_the_baseline_learns_the_training_texts_but_those_of_the_test(tiny_model, here, capsys):
    data = write_csv(here / "test.csv", rows_of(["正面", "负面"], 24))
    common = rows_of(["正面", "负面"], 3)
    train = write_csv(here / "train.csv", [*common, *rows_of(["正面", "负面"], 24, name="店")])
    arguments = ["--dataset", data, "--train", train, "--language", "zh", "--output", "here.html"]
    page = page_of(capsys, "--model", str(tiny_model), *arguments)
    assert '<html lang="zh">' in page and "TF-IDF 学习了 24 条文本" in page
    assert "它不如 TF-IDF 加逻辑回归" in page or "不能确定它是否优于 TF-IDF" in page
    assert main(["--model", str(tiny_model), "--dataset", data, "--train", data]) == 1
    assert_one_error(capsys.readouterr().err, "all of its texts are those of the test")


def test_some_of_more_labels_with_groups(tiny_emotions, here, capsys, monkeypatch):
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    rows = [(*row, "甲" if number % 2 else "乙") for number, row in enumerate(rows_of(EMOTIONS[:4], 20))]
    data = write_csv(here / "posts.csv", rows, ("text", "label", "source"))
    arguments = ["--model", str(tiny_emotions), "--dataset", data, "--group-column", "source"]
    train = write_csv(here / "train.csv", rows_of(EMOTIONS[:4], 20, name="店"))
    page = page_of(capsys, *arguments, "--train", train)
    assert '<html lang="zh">' in page
    assert "按组" in page and 'id="confusions"' in page and 'id="thresholds"' not in page


def test_several_labels_in_columns_and_in_cells(tiny_aspects, here, capsys):
    columns = [(f"{text}{row}", *(row % 2, row % 3 == 0, 0, 1)) for row, text in enumerate(TEXTS * 3)]
    columns = [(text, *map(int, cells)) for text, *cells in columns]
    data = write_csv(here / "columns.csv", columns, ("text", *ASPECTS))
    page = page_of(capsys, "--model", str(tiny_aspects), "--dataset", data, "--label-columns", *ASPECTS)
    assert "micro-F1" in page and "missed" in page
    rows = [json.dumps({"text": f"房间{row}", "label": ASPECTS[: row % 3]}, ensure_ascii=False) for row in range(9)]
    (here / "cells.jsonl").write_text("\n".join(rows), encoding="utf-8")
    assert "micro-F1" in page_of(capsys, "--model", str(tiny_aspects), "--dataset", "cells.jsonl")


def test_the_test_split_of_a_folder_is_read(tiny_model, here, capsys):
    (here / "splits").mkdir()
    write_csv(here / "splits" / "train.csv", rows_of(["1", "0"], 20, name="店"))
    write_csv(here / "splits" / "test.csv", rows_of(["1", "0"], 7))
    page = page_of(capsys, "--model", str(tiny_model), "--dataset", "splits", "--train", "splits")
    assert "Tested on 7 texts" in page and "TF-IDF has learnt 20 texts" in page


def test_labels_that_the_model_lacks(tiny_emotions, tiny_model, here, capsys):
    data = write_csv(here / "posts.csv", [*rows_of(EMOTIONS), ("天气很好", "骄傲")])
    assert main(["--model", str(tiny_emotions), "--dataset", data]) == 1
    assert_one_error(capsys.readouterr().err, "the model lacks labels of --dataset: '骄傲' (1)", "--label-map")
    label_map = write_csv(here / "map.csv", [("骄傲", "")], ("label", "new_label"))
    page_of(capsys, "--model", str(tiny_emotions), "--dataset", data, "--label-map", label_map)
    stars = write_csv(here / "stars.csv", rows_of(["0", "1", "2"]))
    assert main(["--model", str(tiny_model), "--dataset", stars]) == 1
    assert_one_error(capsys.readouterr().err, "0 and 1 may not mean negative and positive as in the model")
    assert main(["--model", str(tiny_emotions), "--dataset", stars]) == 1
    assert_one_error(capsys.readouterr().err, "the model has no label '0'")


def test_training_texts_of_one_label(tiny_model, here, capsys):
    data = write_csv(here / "reviews.csv", rows_of(["1", "0"]))
    train = write_csv(here / "train.csv", rows_of(["1"], name="店"))
    assert main(["--model", str(tiny_model), "--dataset", data, "--train", train]) == 1
    assert_one_error(capsys.readouterr().err, "--train", "all texts have the same label")


def test_an_included_model_has_a_name(here, capsys):
    data = write_csv(here / "reviews.csv", rows_of(["正面", "中性", "负面"]))
    assert "Tested on 15 texts" in page_of(capsys, "--model", "three_classes", "--dataset", data)
    assert main(["--model", "four_classes", "--dataset", data]) == 1
    assert_one_error(capsys.readouterr().err, "four_classes: no such file", "three_classes")


def test_too_few_training_texts(tiny_emotions, here, capsys):
    data = write_csv(here / "posts.csv", rows_of(EMOTIONS))
    train = write_csv(here / "train.csv", [("好", EMOTIONS[0]), ("坏", EMOTIONS[1])])
    assert main(["--model", str(tiny_emotions), "--dataset", data, "--train", train]) == 1
    assert_one_error(capsys.readouterr().err.splitlines()[-1], "--train: TF-IDF cannot learn these texts", "name more")


def test_a_page_that_cannot_be_written_is_noticed_before_the_work(tiny_model, here, capsys):
    (here / "folder.html").mkdir()
    assert main(["--model", "missing.keras", "--dataset", "missing.csv", "--output", "folder.html"]) == 1
    assert_one_error(capsys.readouterr().err, "cannot write", "folder.html: it is a folder")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "a.csv", "--output", "report.csv"], "the name of a page must end with .html"),
        ([], "--dataset is missing"),
        (["--dataset", "a.csv", "--language", "fr"], "invalid choice: 'fr'"),
        (["--dataset", "a.csv", "--label-column", "b", "--label-columns", "c", "d"], "leave out one of the two"),
    ],
)
def test_wrong_options(arguments, message, here, capsys):
    with pytest.raises(SystemExit) as end:
        main(["--model", "model.keras", *arguments])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_labels_in_columns_need_a_model_of_several_labels(tiny_model, here, capsys):
    data = write_csv(here / "columns.csv", [("好", 1, 0)], ("text", "a", "b"))
    assert main(["--model", str(tiny_model), "--dataset", data, "--label-columns", "a", "b"]) == 1
    assert_one_error(capsys.readouterr().err, "are for a model of texts with several labels")
