"""The preparation in docs/REPRODUCE.md: whatever learns from its files sees no test text and no unseen domain."""

import hashlib
import re
from pathlib import Path

import pytest

import fine_tuning
from text.dataset.duplicates import letters

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "REPRODUCE.md").read_text(encoding="utf-8")
PREPARATION, TESTS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SAVING_SPLITS = re.findall(r"^python fine_tuning\.py (.*--save-splits .*)$", TEXT, re.MULTILINE)
LEARNT = ("parts/corpus/*.txt", "parts/*/train.tsv", "parts/*/train.csv")
NUMBERS = range(1, 61)
DEV_PARTS = ("weibo_emotion6/usual_dev", "weibo_emotion6/virus_dev", "chnsenticorp/dev", "news/thucnews_titles_dev")


def is_test(text):
    return hashlib.sha256(text.encode()).hexdigest()[0] == "0"


def review(kind, number):
    return f"这是第{number}条关于{kind}的评论，写得够长，每条都不一样。"


def rewritten(text):
    """Return a text that differs only in what a comparison by letters and digits ignores."""
    return f" {text[:5]}，{text[5:-1]}！！"


def write_table(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(columns), *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_texts(folder):
    """Write small files with the names and the columns of the real ones; the corpus repeats texts of all of them."""
    rows = [(number % 2, review("酒店", number)) for number in NUMBERS]
    (folder / "ChnSentiCorp_htl_all.csv").write_text(
        "label,review\n" + "".join(f"{label},{text}\n" for label, text in rows), encoding="utf-8"
    )
    known = [text for _, text in rows]

    def reviews(name, columns, domains, label_of=lambda number: number % 2):
        rows = [
            (domain, *label_of(number), review(f"{name}{domain}", number)) for domain in domains for number in NUMBERS
        ]
        write_table(folder / f"{name}.tsv", columns, rows)
        known.extend(row[-1] for row in rows)

    columns, unseen = ("domain", "label", "text"), ("film", "app", "goods_sentence")
    reviews("reviews_other_domains", columns, ("book", "film"), lambda number: (number % 2,))
    reviews(
        "reviews_three_classes", ("domain", "stars_or_class", "label", "text"), unseen, lambda number: (1, number % 3)
    )
    reviews("reviews_short", columns, unseen, lambda number: (number % 2,))
    reviews("reviews_multi_label", ("domain", "labels", "text"), ("car",), lambda number: ("动力:neutral",))
    plain = {"weibo_emotion6/usual_train": "text_a", "weibo_emotion6/virus_train": "text_a"}
    plain |= {"weibo_emotion6/usual_dev": "text_a", "weibo_emotion6/virus_dev": "text_a"}
    plain |= {"chnsenticorp/dev": "text_a", "news/thucnews_titles_dev": "text", "news/thucnews_titles_train": "text"}
    for name, column in plain.items():
        rows = [(0, review(name, number)) for number in NUMBERS]
        write_table(folder / f"{name}.tsv", ("label", column), rows)
        known.extend(text for _, text in rows)
    corpora = ("hotel", "restaurant_travel", "shopping", "film_book", "traditional", "general")
    (folder / "corpus").mkdir()
    for index, name in enumerate(corpora):
        lines = [rewritten(text) for text in known[index :: len(corpora)]] + [review(name, n) for n in NUMBERS]
        (folder / "corpus" / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def texts(tmp_path_factory, tiny_pretrained):
    """The folder of the texts after the preparation."""
    folder = tmp_path_factory.mktemp("reproduced")
    (folder / "texts").mkdir()
    write_texts(folder / "texts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for arguments in SAVING_SPLITS:
            assert fine_tuning.main([*arguments.split(), "--pretrained", str(tiny_pretrained)]) == 0
        exec(compile(PREPARATION, "REPRODUCE.md", "exec"), {})
    return folder / "texts"


def learnt_lines(texts):
    paths = [path for pattern in LEARNT for path in texts.glob(pattern)]
    return [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def test_nothing_learns_a_test_text(texts):
    learnt = {letters(line.split("\t")[-1]) for line in learnt_lines(texts)}
    tests = (texts / "parts" / "tests.txt").read_text(encoding="utf-8").splitlines()
    assert len(tests) > 500 and len(learnt) > 500
    assert learnt.isdisjoint(map(letters, tests))


def test_the_test_texts_are_those_of_all_sets(texts):
    tests = set((texts / "parts" / "tests.txt").read_text(encoding="utf-8").splitlines())
    for name in (
        "weibo_emotion6/usual_dev",
        "weibo_emotion6/virus_dev",
        "chnsenticorp/dev",
        "news/thucnews_titles_dev",
    ):
        assert tests >= {review(name, number) for number in NUMBERS}
    for name, domain in (("three_classes", "film"), ("short", "film"), ("multi_label", "car")):
        of_set = [review(f"reviews_{name}{domain}", number) for number in NUMBERS]
        assert tests.intersection(of_set) == set(filter(is_test, of_set)) != set()
    for name, kind, size in (("hotel", "酒店", 10), ("other", "reviews_other_domains", 12)):
        rows = (texts / "parts" / name / "test.csv").read_text(encoding="utf-8").splitlines()[1:]
        assert len(rows) == size and all(kind in row for row in rows)
        assert tests >= {row.split(",")[0] for row in rows}


def test_nothing_learns_an_unseen_domain(texts):
    assert not [line for line in learnt_lines(texts) if "app" in line or "goods_sentence" in line]


def test_what_is_no_test_text_remains(texts):
    learnt = [letters(line.split("\t")[-1]) for line in learnt_lines(texts)]
    for name in ("shopping", "traditional", "news/thucnews_titles_train", "weibo_emotion6/virus_train"):
        assert {letters(review(name, number)) for number in NUMBERS} <= set(learnt)


def test_the_tests_print_their_accuracy_and_save_the_unseen_domains(texts, monkeypatch, capsys):
    monkeypatch.chdir(texts.parent)
    for name in ("data", "mini_bert_sentiment_classifier.keras", "mini_bert_sentiment_classifier.onnx"):
        (texts.parent / name).symlink_to(ROOT / name)
    rows = [(number % 2, review("chnsenticorp/dev", number)) for number in NUMBERS[:50]]
    write_table(texts / "chnsenticorp/train.tsv", ("label", "text_a"), rows)
    rows = [(number % 2, review("chnsenticorp/dev", number)) for number in NUMBERS]
    write_table(texts / "chnsenticorp/dev.tsv", ("label", "text_a"), rows)
    exec(compile(TESTS, "REPRODUCE.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" texts, accuracy ")[0] for line in printed] == [
        "ChnSentiCorp dev, in no training part: 10",
        "everyday sentences: 200",
        "app: 40",
        "goods_sentence: 40",
    ]
    saved = (texts / "unseen" / "app_test.tsv").read_text(encoding="utf-8").splitlines()
    assert len(saved) == 41 and saved[0] == "label\ttext"
