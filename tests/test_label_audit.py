"""The audit of labels by fine_tuning.py: it finds labels that were flipped, its files come back as corrections."""

import csv
import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from interrupted_runs import InterruptAfter
from scripts import assert_one_error, call

import fine_tuning
import recipes.runs.label_audit
import training.engine.loop
from network.bert import BertClassifier
from network.model_file import load_model, save_model
from recipes.runs.label_audit import COLUMNS, PAGE_NAME, TABLE_NAME, check_audit
from recipes.runs.resumption import further_fingerprints
from system.errors import InputError
from system.files import sha256_of_file
from system.locks import owned
from text.dataset.draws.rows_of_splits import rows_of_splits
from text.dataset.options import DataOptions
from text.dataset.splits import read_rows
from text.sources import read_labelled

GOOD = ("房间干净", "服务热情", "早餐丰富", "位置方便", "值得推荐", "环境安静", "性价比高", "下次还来")
BAD = ("房间很脏", "服务很差", "早餐难吃", "位置偏僻", "不会再来", "隔音太差", "价格太贵", "非常失望")
TOPICS = {
    "房间": ("床很软", "被子干净", "窗户很大", "地毯很新"),
    "早餐": ("粥很香", "面包新鲜", "水果很多", "牛奶很热"),
    "交通": ("地铁很近", "打车容易", "离机场远", "停车免费"),
}


def sentences(phrases, count, seed):
    """Return texts of three phrases each, all of them different."""
    generator, texts = np.random.default_rng(seed), {}
    while len(texts) < count:
        texts["，".join(generator.choice(phrases, 3, replace=False)) + "。"] = None
    return list(texts)


def write_table(path, rows, columns=("text", "label")):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def read_table(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def write_reviews(path, flipped=8):
    """Write 240 reviews, of which the first ones have the wrong label; return the texts of these."""
    rows = [(text, 1) for text in sentences(GOOD, 120, 0)] + [(text, 0) for text in sentences(BAD, 120, 1)]
    rows = [rows[index] for index in np.random.default_rng(2).permutation(len(rows))]
    rows = [(text, 1 - label if row < flipped else label) for row, (text, label) in enumerate(rows)]
    write_table(path, rows)
    return {text for text, _ in rows[:flipped]}


def write_few_reviews(path):
    """Write 40 reviews, for a test of the files of an audit alone."""
    write_table(path, [(text, row % 2) for row, text in enumerate(sentences(GOOD, 40, 0))])


def audit(folder, pretrained, *options):
    arguments = ["--dataset", "reviews.csv", "--pretrained", str(pretrained), "--audit-labels", *options]
    return call(fine_tuning.main, arguments, folder)


@pytest.fixture(scope="module")
def audited(tmp_path_factory, tiny_pretrained):
    """The folder of an audit of reviews, the texts with flipped labels, and what was printed to both streams."""
    folder = tmp_path_factory.mktemp("audited")
    flipped = write_reviews(folder / "reviews.csv")
    process = audit(folder, tiny_pretrained, "--dry-run")
    assert process.returncode == 0, process.stderr
    return folder, flipped, process.stdout, process.stderr


def learnt_texts(folder, **options):
    """Return the texts of the training and of the validation split of reviews.csv."""
    plan = DataOptions(dataset=str(folder / "reviews.csv"), test_size=1 / 6, **options)
    labelled = read_rows(plan)
    rows = rows_of_splits(labelled, plan)
    return {labelled.texts[row] for row in (*rows.train, *rows.validation)}


def test_the_flipped_labels_come_first(audited):
    folder, flipped, printed, _ = audited
    rows = read_table(folder / TABLE_NAME)
    expected = flipped & learnt_texts(folder)
    assert {row["text"] for row in rows[: len(expected)]} == expected
    labelled = read_labelled(folder / "reviews.csv")
    for row in rows:
        assert labelled.texts[int(row["row"]) - 2] == row["text"]
        assert {row["label"], row["suggested_label"]} == {"正面", "负面"}
        assert 0 <= float(row["probability"]) < 0.5
        assert (row["source"], row["corrected_label"]) == ("reviews.csv", "")
    assert f"label audit: another label is more probable for {len(rows)} of 200 " in printed
    assert "dry run: nothing was trained" in printed


def test_no_test_row_is_listed(audited):
    folder, *_ = audited
    assert {row["text"] for row in read_table(folder / TABLE_NAME)} <= learnt_texts(folder)


def test_the_page_has_the_same_rows(audited):
    folder, *_ = audited
    page = (folder / PAGE_NAME).read_text(encoding="utf-8")
    assert all(row["text"] in page for row in read_table(folder / TABLE_NAME))
    assert "<script" not in page


@pytest.mark.slow
def test_corrected_labels_are_learnt_and_recorded(audited, tmp_path, tiny_pretrained, monkeypatch):
    """What a reader fills in comes back: the model file names the file, and a second audit has fewer doubts."""
    folder, flipped, *_ = audited
    rows = read_table(folder / TABLE_NAME)
    expected = flipped & learnt_texts(folder)
    for row in rows:
        row["corrected_label"] = row["suggested_label"] if row["text"] in expected else ""
    checked = tmp_path / "checked.csv"
    write_table(checked, [row.values() for row in rows], rows[0])
    monkeypatch.chdir(tmp_path)
    options = ["--dataset", str(folder / "reviews.csv"), "--pretrained", str(tiny_pretrained)]
    assert fine_tuning.main([*options, "--label-corrections", "checked.csv", "--audit-labels", "5"]) == 0
    assert not {row["text"] for row in read_table(TABLE_NAME)} & expected
    data = load_model(Path("mini_bert_sentiment_classifier.keras"), BertClassifier).metadata["data"]
    assert data["corrections"] == {"name": "checked.csv", "rows": len(expected), "sha256": sha256_of_file(checked)}


def test_the_language_is_that_of_the_option(tmp_path, tiny_pretrained):
    write_reviews(tmp_path / "reviews.csv")
    folder = ["--report-folder", "reports"]
    assert audit(tmp_path, tiny_pretrained, "--dry-run", "--language", "zh", *folder).returncode == 0
    page = (tmp_path / "reports" / PAGE_NAME).read_text(encoding="utf-8")
    assert '<html lang="zh">' in page
    assert f"--label-corrections {Path('reports', TABLE_NAME)}" in page
    assert {row["reason"] for row in read_table(tmp_path / "reports" / TABLE_NAME)} == {"其他行支持另一个标签"}


def test_what_a_reader_has_filled_in_is_not_overwritten(audited, tmp_path, tiny_pretrained):
    write_reviews(tmp_path / "reviews.csv")
    rows = read_table(audited[0] / TABLE_NAME)
    rows[0]["corrected_label"] = "正面"
    write_table(tmp_path / TABLE_NAME, [row.values() for row in rows], rows[0])
    before = (tmp_path / TABLE_NAME).read_bytes()
    process = audit(tmp_path, tiny_pretrained, "--dry-run")
    assert process.returncode == 1
    assert_one_error(process.stderr, "has 1 corrected labels", "rename it")
    assert (tmp_path / TABLE_NAME).read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        "text;corrected_label\r\n好;正面\r\n".encode(),
        "text\tcorrected_label\r\n好\t正面\r\n".encode("utf-16"),
        "text,corrected_label \n好,正面\n".encode(),
        "text,corrected_label\n好\n".encode(),
        b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00",
    ],
    ids=["semicolons", "tabs in UTF-16", "a blank in the header", "a damaged row", "a workbook"],
)
def test_what_may_have_corrections_is_not_overwritten(tmp_path, content):
    (tmp_path / TABLE_NAME).write_bytes(content)
    with pytest.raises(InputError, match=r"may have corrected labels .* rename it .* another --report-folder"):
        check_audit(dataclasses.replace(fine_tuning.PLAN, report_folder=str(tmp_path)))


def test_a_table_that_nobody_has_filled_in_is_overwritten(tmp_path):
    write_table(tmp_path / TABLE_NAME, [("a.csv", 2, "好", "负面", "正面", 0.1, "", " ")], COLUMNS)
    check_audit(dataclasses.replace(fine_tuning.PLAN, report_folder=str(tmp_path)))


@pytest.mark.parametrize("option", ["dataset", "validation_dataset", "test_dataset", "also", "exclude"])
@pytest.mark.parametrize("source", [".", TABLE_NAME])
def test_the_table_is_not_written_into_the_data(tmp_path, monkeypatch, option, source):
    monkeypatch.chdir(tmp_path)
    write_table(TABLE_NAME, [("好", "正面", "")], ("text", "label", "corrected_label"))
    sources = {option: [source] if option in ("also", "exclude") else source}
    for folder in (".", "reports"):
        plan = dataclasses.replace(fine_tuning.PLAN, **sources, report_folder=folder)
        if folder == "." or source == ".":
            words = f"--report-folder {folder}: it would change the data of --{option.replace('_', '-')}"
            with pytest.raises(InputError, match=words):
                check_audit(plan)
        else:
            check_audit(plan)


def test_what_is_filled_in_during_an_audit_is_kept(tmp_path, tiny_pretrained, monkeypatch):
    write_few_reviews(tmp_path / "reviews.csv")
    page_of = recipes.runs.label_audit.label_audit_page

    def page_while_a_reader_corrects(*arguments):
        write_table(tmp_path / TABLE_NAME, [("好", "正面")], ("text", "corrected_label"))
        return page_of(*arguments)

    monkeypatch.setattr(recipes.runs.label_audit, "label_audit_page", page_while_a_reader_corrects)
    process = audit(tmp_path, tiny_pretrained, "--dry-run")
    assert process.returncode == 1
    assert_one_error(process.stderr, "has 1 corrected labels", "rename it")
    assert read_table(tmp_path / TABLE_NAME) == [{"text": "好", "corrected_label": "正面"}]
    assert not (tmp_path / PAGE_NAME).exists()


def test_two_audits_do_not_write_at_once(tmp_path, tiny_pretrained):
    write_few_reviews(tmp_path / "reviews.csv")
    with owned(tmp_path / TABLE_NAME):
        process = audit(tmp_path, tiny_pretrained, "--dry-run")
    assert process.returncode == 1
    assert_one_error(process.stderr, TABLE_NAME, "is being written by another run", "--report-folder")
    assert not (tmp_path / PAGE_NAME).exists()


def test_copies_with_another_label_are_listed(tmp_path, tiny_pretrained):
    write_reviews(tmp_path / "reviews.csv", flipped=0)
    labelled = read_labelled(tmp_path / "reviews.csv")
    copied = next(row for row in range(240) if labelled.texts[row] in learnt_texts(tmp_path))
    rows = list(zip(labelled.texts, labelled.labels.tolist(), strict=True))
    write_table(tmp_path / "train.csv", [*rows, (f"{rows[copied][0]}！", 1 - rows[copied][1])])
    write_table(tmp_path / "test.csv", [("别的很好", 1), ("别的很差", 0)])
    arguments = ["--dataset", "train.csv", "--test-dataset", "test.csv", "--pretrained", str(tiny_pretrained)]
    process = call(fine_tuning.main, [*arguments, "--audit-labels", "--dry-run"], tmp_path)
    assert "2 have a copy with another label" in process.stdout
    reasons = {int(row["row"]): row["reason"] for row in read_table(tmp_path / TABLE_NAME)}
    assert f"train.csv, {copied + 2}" in reasons[242]
    assert "train.csv, 242" in reasons[copied + 2]


def test_of_three_labels_and_of_several_labels_a_text(tmp_path, tiny_pretrained):
    rows = [(text, topic) for topic, phrases in TOPICS.items() for text in sentences(phrases * 5, 20, len(topic))]
    rows = [(f"{text}{number}", topic) for number, (text, topic) in enumerate(rows)]
    names = list(TOPICS)
    wrong = dict.fromkeys((0, 25, 50))
    for row in wrong:
        text, topic = rows[row]
        rows[row] = (text, names[names.index(topic) - 1])
    write_table(tmp_path / "topics.csv", rows)
    write_table(tmp_path / "test.csv", [("床很软", "房间"), ("粥很香", "早餐"), ("地铁很近", "交通")])
    arguments = ["--dataset", "topics.csv", "--test-dataset", "test.csv", "--pretrained", str(tiny_pretrained)]
    for several in ([], ["--multi-label"]):
        process = call(fine_tuning.main, [*arguments, *several, "--audit-labels", "--dry-run"], tmp_path)
        assert process.returncode == 0, process.stderr
        found = read_table(tmp_path / TABLE_NAME)
        assert {int(row["row"]) - 2 for row in found[:3]} == set(wrong)
        assert all(row["suggested_label"] != row["label"] for row in found)


def test_further_sets_are_audited_too(tmp_path, tiny_pretrained):
    write_reviews(tmp_path / "reviews.csv", flipped=0)
    rows = [(text, 1) for text in sentences(GOOD, 60, 5)] + [(text, 0) for text in sentences(BAD, 60, 6)]
    known = set(read_labelled(tmp_path / "reviews.csv").texts)
    rows = [row for row in rows if row[0] not in known]
    rows[:6] = [(text, 1 - label) for text, label in rows[:6]]
    write_table(tmp_path / "others.csv", rows)
    process = audit(tmp_path, tiny_pretrained, "--also", "others.csv", "--dry-run")
    assert process.returncode == 0, process.stderr
    found = read_table(tmp_path / TABLE_NAME)
    assert {(row["source"], int(row["row"]) < 8) for row in found[:4]} == {("others.csv", True)}


def test_a_fine_tuned_model_may_have_seen_the_labels(tmp_path, tiny_model):
    write_reviews(tmp_path / "reviews.csv")
    model = load_model(tiny_model)
    data = {"name": "others.csv", "sha256": "0", "also": [{"name": "reviews.csv", "sha256": "1"}]}
    for sha256, words in (
        ("1", "was fine-tuned (others.csv, reviews.csv)"),
        (read_labelled(tmp_path / "reviews.csv").sha256, "was fine-tuned on these data"),
    ):
        data["also"][0]["sha256"] = sha256
        model.metadata |= {"data": data}
        save_model(model, tmp_path / "classifier.keras")
        process = audit(tmp_path, tmp_path / "classifier.keras", "--dry-run")
        assert process.returncode == 0, process.stderr
        assert words in process.stderr


def test_the_model_of_a_pre_training_has_seen_none(audited):
    assert "fine-tuned" not in audited[3]


@pytest.mark.parametrize("study", [["--seeds", "2"], ["--folds", "3"], ["--grid", "epochs=1,2"]])
def test_a_study_audits_nothing(study, capsys):
    with pytest.raises(SystemExit, match="2"):
        fine_tuning.main(["--audit-labels", *study])
    assert "leave out --audit-labels" in capsys.readouterr().err


def test_too_few_texts_are_refused(tmp_path, tiny_pretrained):
    write_table(tmp_path / "reviews.csv", [(text, row % 2) for row, text in enumerate(sentences(GOOD, 8, 0))])
    process = audit(tmp_path, tiny_pretrained, "--dry-run")
    assert process.returncode == 1
    assert_one_error(process.stderr, "--audit-labels needs 10 different texts")


def test_the_fingerprint_is_that_of_the_corrections(tmp_path):
    path = tmp_path / "checked.csv"
    found = []
    for label in ("1", "0"):
        write_table(path, [("房间", label)], ("text", "corrected_label"))
        found.append(further_fingerprints(dataclasses.replace(fine_tuning.PLAN, label_corrections=str(path)), []))
    assert found[0] != found[1]


@pytest.mark.slow
def test_a_run_is_not_resumed_with_other_corrections(tmp_path, monkeypatch, capsys, tiny_pretrained):
    monkeypatch.chdir(tmp_path)
    flipped = sorted(write_reviews(tmp_path / "reviews.csv") & learnt_texts(tmp_path))
    write_table("checked.csv", [(flipped[0], "1")], ("text", "corrected_label"))
    options = ["--dataset", "reviews.csv", "--label-corrections", "checked.csv", "--pretrained", str(tiny_pretrained)]
    with monkeypatch.context() as patch:
        patch.setattr(training.engine.loop, "print_epoch", InterruptAfter(epochs=2))
        assert fine_tuning.main([*options, "--epochs", "3", "--audit-labels"]) == 130
    audit_time = os.stat(TABLE_NAME).st_mtime_ns
    write_table("checked.csv", [(flipped[0], "0")], ("text", "corrected_label"))
    capsys.readouterr()
    assert fine_tuning.main(["--resume"]) == 1
    assert_one_error(capsys.readouterr().err, "the data has changed since the run was interrupted")
    write_table("checked.csv", [(flipped[0], "1")], ("text", "corrected_label"))
    assert fine_tuning.main(["--resume"]) == 0
    assert os.stat(TABLE_NAME).st_mtime_ns == audit_time, "a resumed run audits again"
