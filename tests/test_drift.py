"""Whether texts have changed: the test itself, on texts made for it, and the command."""

import csv
import json
import random
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts import ROOT, assert_one_error
from tiny import sample_tokenizer

from evaluation.drift import (
    FEWEST_BLOCKS,
    FEWEST_TEXTS,
    LONGEST,
    NUM_BLOCKS,
    Distance,
    Drift,
    Selection,
    TextSums,
    measure_drift,
    principal_directions,
)
from recipes import drift as command
from text.corpus import iter_texts

WORDS = 30
VECTORS = np.random.default_rng(7).normal(size=(WORDS, 5)).astype(np.float32)


def made(count, seed, words=range(WORDS // 2), length=12):
    """Return texts of random words with the ids of these; a text's words are alike, as in real texts."""
    rng = random.Random(seed)
    ids = [[rng.choice(topic) for _ in range(length)] for topic in (rng.sample(words, 6) for _ in range(count))]
    return [" ".join(map(str, each)) for each in ids], ids


def sums_of(texts, ids, kept_fraction=1.0):
    sums = TextSums(VECTORS, kept_fraction)
    sums.add(texts, ids)
    return sums


def drift_of(reference, current):
    fewest = min(len(reference[0]), len(current[0]))
    sums = [sums_of(*each, fewest / len(each[0])) for each in (reference, current)]
    return measure_drift(*sums, num_words=3, seed=0)


def mixed(first, second, fraction):
    """Return the texts and ids of one set, of which a fraction comes from another."""
    count = round(fraction * len(first[0]))
    return tuple(theirs[:count] + ours[count:] for ours, theirs in zip(first, second, strict=True))


class TestSums:
    def test_all_texts_are_counted(self):
        sums = sums_of(["好好", "坏" * 5, "", "长" * (LONGEST + 9)], [[3, 3], [4], [], [5] * 40_000])
        assert (sums.num_texts, sums.num_distinct, sums.token_counts.sum()) == (4, 4, 40_003)
        assert sums.token_counts[[3, 4, 5]].tolist() == [2, 1, 40_000]
        assert (sums.length_at(0.25), sums.length_at(0.5), sums.length_at(1)) == (0, 2, LONGEST)

    def test_each_text_counts_the_same(self):
        sums = sums_of(["一", "二"], [[3, 3, 4, 4], [4]])
        np.testing.assert_allclose(sums.shares.sum(axis=0)[[3, 4]], [0.5, 1.5])
        np.testing.assert_allclose(sums.means.sum(axis=0), VECTORS[3] / 2 + VECTORS[4] * 1.5, rtol=1e-6)

    @settings(max_examples=20)  # each makes two sums of some megabytes
    @given(st.lists(st.integers(1, 300), min_size=1, max_size=6))
    def test_parts_add_up_to_the_whole(self, sizes):
        texts, ids = made(sum(sizes), 0)
        whole, parts, start = sums_of(texts, ids), TextSums(VECTORS), 0
        for size in sizes:
            parts.add(texts[start : start + size], ids[start : start + size])
            start += size
        np.testing.assert_allclose(parts.shares, whole.shares, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(parts.products, whole.products, rtol=1e-6)
        assert parts.num_distinct == whole.num_distinct
        assert (parts.lengths == whole.lengths).all() and (parts.block_texts == whole.block_texts).all()

    def test_copies_of_a_text_are_one_text_and_lie_in_one_block(self):
        sums = sums_of(1000 * ["好"], 1000 * [[3]])
        assert (sums.num_texts, sums.num_distinct) == (1000, 1)
        assert np.count_nonzero(sums.block_texts) == 1

    def test_the_number_of_different_texts_is_about_right(self):
        texts = [str(number) for number in range(50_000)]
        assert sums_of(texts, [[3]] * len(texts)).num_distinct == pytest.approx(50_000, rel=0.005)

    def test_a_fraction_takes_part_in_the_test(self):
        sums = sums_of(*made(20_000, 0), kept_fraction=0.25)
        assert sums.num_texts == 20_000 and sums.block_texts.sum() == pytest.approx(5000, rel=0.05)
        assert np.count_nonzero(sums.block_texts) == NUM_BLOCKS

    def test_texts_without_any_token_take_part(self):
        sums = sums_of(["", "？"], [[], []])
        assert sums.block_texts.sum() == 2 and not sums.shares.any()


class TestPrincipalDirections:
    def test_few_dimensions_remain(self):
        np.testing.assert_array_equal(principal_directions(VECTORS), VECTORS)

    def test_of_many_the_distances_of_most_variance_remain(self):
        vectors = np.random.default_rng(0).normal(size=(300, 100)).astype(np.float32)
        vectors[:, 64:] *= 1e-4
        reduced = principal_directions(vectors)
        assert reduced.shape == (300, 64)
        found, expected = (np.linalg.norm(each[0] - each[1]) for each in (reduced, vectors))
        assert found == pytest.approx(expected, rel=1e-3)


class TestSelection:
    @given(st.integers(1, 200).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total))), st.integers())
    def test_takes_exactly_as_many_in_their_order(self, sizes, seed):
        items = [f"{number:03}" for number in range(sizes[0])]
        selection = Selection(*sizes, str(seed))
        found = [*selection.of(items[:50]), *selection.of(items[50:])]
        assert len(found) == len(set(found)) == sizes[1] and found == sorted(found)

    def test_each_item_is_as_likely(self):
        taken = Counter()
        for seed in range(4000):
            taken.update(Selection(10, 3, str(seed)).of("abcdefghij"))
        assert [taken[item] / 4000 for item in "abcdefghij"] == pytest.approx([0.3] * 10, abs=0.04)


class TestMeasureDrift:
    def test_samples_of_one_source_are_no_drift(self):
        found = [drift_of(made(400, seed), made(400, 100 + seed)) for seed in range(20)]
        assert sum(drift.is_drift for drift in found) <= 1
        # As likely to be above 0.5 as below it.
        for name in ("words", "vectors"):
            assert 4 <= sum(getattr(drift, name).p_value > 0.5 for drift in found) <= 16
            assert all(getattr(drift, name).expected > 0 for drift in found)

    def test_a_tenth_of_other_words_is_one(self):
        others = made(400, 0, words=range(WORDS // 2, WORDS))
        drift = drift_of(made(400, 1), mixed(made(400, 2), others, 0.1))
        assert drift.is_drift and drift.is_significant and drift.p_value == 0.002
        assert drift.words.excess > 0.02
        # The words that only the other texts have.
        for word in drift.contributions:
            assert word.token >= WORDS // 2 and word.reference == 0 < word.current and word.bits > 0
        assert sorted(word.bits for word in drift.contributions)[::-1] == [word.bits for word in drift.contributions]

    def test_the_same_texts_have_no_distance(self):
        texts = made(300, 1)
        drift = drift_of(texts, texts)
        assert (drift.words.observed, drift.words.p_value) == (0, 1)
        assert drift.vectors.observed == pytest.approx(0, abs=1e-12) and drift.p_value == 1
        assert drift.contributions == [] and not drift.is_drift

    def test_common_texts_hide_no_difference(self):
        """Else it would be compared with the differences between those texts, which both sets have."""
        texts = made(400, 1)
        drift = drift_of(texts, mixed(texts, made(400, 2, words=range(7)), 0.05))
        assert drift.words.p_value <= 0.005 and drift.vectors.p_value <= 0.005

    def test_copies_are_no_more_than_one_text(self):
        """Else the halves of any set, each repeated, would differ."""
        first, second = (tuple(100 * each for each in made(150, seed)) for seed in (1, 2))
        assert not drift_of(first, second).is_drift

    def test_the_fewest_blocks_are_enough_to_see_a_difference(self):
        first, second = (made(FEWEST_BLOCKS, seed, words) for seed, words in ((1, range(15)), (2, range(15, 30))))
        assert drift_of(first, second).is_drift

    def test_the_fewest_texts_fill_enough_blocks(self):
        filled = [np.count_nonzero(sums_of(*made(FEWEST_TEXTS, seed)).block_texts) for seed in range(20)]
        assert min(filled) > 1.5 * FEWEST_BLOCKS

    def test_sets_of_different_sizes_are_compared_by_as_many_texts(self):
        drift = drift_of(made(5000, 1), made(200, 2))
        assert drift.num_compared[1] == 200 and drift.num_compared[0] == pytest.approx(200, rel=0.3)
        assert not drift.is_drift
        assert drift_of(made(5000, 1), made(200, 2, words=range(5, 20))).is_drift

    def test_a_significant_but_small_difference_is_no_drift(self):
        words, vectors = Distance(0.0015, 0.001, 0.001), Distance(0.03, 0.02, 0.001)
        drift = Drift((900, 900), words, vectors, [])
        assert drift.is_significant and not drift.is_drift
        assert drift._replace(words=words._replace(observed=0.0021)).is_drift
        assert drift._replace(vectors=vectors._replace(observed=0.041)).is_drift
        # A large distance is none if that of random halves is as large.
        assert not drift._replace(words=Distance(0.5, 0.1, 0.02), vectors=Distance(0.5, 0.1, 0.02)).is_drift

    def test_it_depends_on_the_seed_alone(self):
        sums = [sums_of(*made(100, seed)) for seed in (1, 2)]
        assert measure_drift(*sums, 3, seed=5) == measure_drift(*sums, 3, seed=5)
        assert measure_drift(*sums, 3, seed=5).words.expected != measure_drift(*sums, 3, seed=6).words.expected

    def test_a_set_without_texts_is_refused(self):
        with pytest.raises(ValueError, match="both sets need texts"):
            measure_drift(sums_of(*made(9, 1)), TextSums(VECTORS), 3, seed=0)

    def test_texts_without_tokens_have_no_distance(self):
        texts = [str(number) for number in range(60)]
        drift = measure_drift(sums_of(texts, [[]] * 60), sums_of(texts, [[]] * 60), 3, seed=0)
        assert drift.words.observed == drift.vectors.observed == 0 and not drift.is_drift


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """A folder with two files of texts from one source, and one with texts from another."""
    folder = tmp_path_factory.mktemp("sets")
    sentences = sorted(set(iter_texts(["sample"])))
    random.Random(0).shuffle(sentences)
    numbers = [f"{number} 12:30 wifi, {number}!" for number in range(300)]
    for name, texts in {"old": sentences[:300], "new": sentences[300:600], "other": numbers}.items():
        with open(folder / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["text"], *([text] for text in texts)])
    return folder


class TestCommand:
    def run(self, capsys, *arguments):
        status = command.main([*map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    def test_texts_of_one_source(self, sets, tiny_model, capsys):
        status, out, err = self.run(capsys, sets / "old.csv", sets / "new.csv", "--model", tiny_model)
        assert (status, err) == (0, "")
        lines = out.splitlines()
        assert lines[0].split() == ["reference", "current"]
        assert lines[1].split() == ["Texts", "300", "300"]
        assert lines[-1].startswith("No drift: the texts differ no more than random samples of one source would (p = ")
        for row in ("Predictions", "mean confidence", "正面", "Words that differ most", "words, bits", "token vectors"):
            assert row in out

    def test_texts_of_another_source_and_the_file_of_numbers(self, sets, tiny_emotions, tmp_path, capsys):
        output = tmp_path / "drift.json"
        arguments = (sets / "old.csv", sets / "other.csv", "--model", tiny_emotions, "--output", output)
        status, out, err = self.run(capsys, *arguments, "--predictions", "70")
        assert (status, err) == (0, "")
        assert out.splitlines()[-1] == (
            "Drift: the texts differ more than random samples of one source would (p = 0.002 for both tests together)."
        )
        content = json.loads(output.read_text(encoding="utf-8"))
        assert content["is_drift"] and content["verdict"] == out.splitlines()[-1]
        assert content["reference"]["predictions"]["texts"] == content["current"]["predictions"]["texts"] == 70
        assert set(content["current"]["predictions"]["label_shares"]) == set(
            ("愤怒", "悲伤", "喜悦", "惊讶", "恐惧", "平静")
        )
        assert content["current"]["unknown_fraction"] > 0.2 > content["reference"]["unknown_fraction"]
        word = content["words"][0]
        assert word["token"] == "[UNK]" and word["current"] > word["reference"]

    def test_several_labels_and_no_predictions(self, sets, tiny_aspects, tmp_path, capsys):
        output = tmp_path / "drift.json"
        arguments = (sets / "old.csv", sets / "new.csv", "--model", tiny_aspects, "--output", output)
        assert "Predictions" not in self.run(capsys, *arguments, "--predictions", 0)[1]
        assert "predictions" not in json.loads(output.read_text(encoding="utf-8"))["reference"]
        assert "服务" in self.run(capsys, *arguments)[1]

    def test_a_sample_of_rows(self, sets, tiny_model, capsys):
        arguments = (sets / "old.csv", sets / "new.csv", "--model", tiny_model, "--max-rows", 60)
        first, again = (self.run(capsys, *arguments)[1] for _ in range(2))
        assert first == again and first.splitlines()[1].split() == ["Texts", "60", "60"]
        assert self.run(capsys, *arguments, "--seed", 1)[1] != first

    def test_other_kinds_of_sources(self, sets, tiny_model, tmp_path, capsys):
        texts = "\n".join(iter_texts([sets / "new.csv"]))
        (tmp_path / "new.txt").write_text(texts, encoding="utf-8")
        rows = "\n".join(json.dumps({"评价": text}) for text in texts.split("\n"))
        (tmp_path / "new.jsonl").write_text(rows, encoding="utf-8")
        options = ("--model", tiny_model, "--predictions", 0)
        expected = self.run(capsys, sets / "old.csv", sets / "new.csv", *options)
        for name in ("new.txt", "new.jsonl"):
            assert self.run(capsys, sets / "old.csv", tmp_path / name, *options) == expected

    def test_rows_that_cannot_be_read_are_reported_once(self, sets, tiny_model, tmp_path, capsys, caplog):
        lines = (sets / "new.csv").read_text(encoding="utf-8").splitlines()
        (tmp_path / "new.csv").write_text("\n".join([*lines, "a,b,c"]), encoding="utf-8")
        assert self.run(capsys, sets / "old.csv", tmp_path / "new.csv", "--model", tiny_model)[0] == 0
        assert [record.getMessage().split(":")[1] for record in caplog.records] == [" 1 rows left out, first"]

    def test_an_output_that_cannot_be_written_is_refused_at_once(self, sets, tiny_model, tmp_path, capsys):
        arguments = (sets / "old.csv", "missing.csv", "--model", tiny_model, "--output", tmp_path)
        status, out, err = self.run(capsys, *arguments)
        assert (status, out) == (1, "")
        assert_one_error(err, str(tmp_path), "it is a folder")

    @pytest.mark.parametrize(
        ("current", "output", "option"),
        [
            ("new.csv", "link.csv", "REFERENCE"),
            ("new.csv", "new.csv", "CURRENT"),
            ("folder", "folder/further/drift.json", "CURRENT"),
            ("n*.csv", "new.csv", "CURRENT"),
            ("new.csv", "model.onnx", "--model"),
        ],
    )
    def test_an_output_that_would_change_what_is_read_is_refused_at_once(
        self, current, output, option, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "folder").mkdir()
        for name in ("old.csv", "new.csv", "model.onnx", "folder/a.csv"):
            (tmp_path / name).write_text("as before", encoding="utf-8")
        (tmp_path / "link.csv").symlink_to("old.csv")
        status, out, err = self.run(capsys, "old.csv", current, "--model", "model.onnx", "--output", output)
        assert (status, out) == (1, "")
        assert_one_error(err, f"--output {output} is also in {option}; choose another file")
        assert [path.name for path in (tmp_path / "folder").iterdir()] == ["a.csv"]

    @pytest.mark.parametrize(
        ("current", "options", "problem"),
        [
            ("missing.csv", [], "there is no file or folder missing.csv; give CURRENT a path"),
            ("few.csv", [], "few.csv: 2 texts are too few to compare; 50 are needed"),
            ("new.csv", ["--max-rows", "9"], "old.csv: 9 texts are too few to compare; 50 are needed"),
            ("new.csv", ["--model", "missing.onnx"], "missing.onnx: no such model file"),
            ("/dev/null", [], "/dev/null: not a regular file"),
        ],
    )
    def test_what_cannot_be_used_is_an_error(
        self, current, options, problem, sets, tiny_model, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.chdir(sets)
        (sets / "few.csv").write_text("text\n很好\n很差\n", encoding="utf-8")
        status, out, err = self.run(capsys, "old.csv", current, "--model", tiny_model, *options)
        assert (status, out) == (1, "")
        assert_one_error(err, problem)

    @pytest.mark.parametrize(
        ("first", "second", "problem"),
        [
            # The permutations of two blocks, or of one, are few.
            ((2, 500), (2, 500), "old.txt: too few different texts to compare, only 2; 50 are needed"),
            ((60, 1), (1, 3000), "new.txt: too few different texts to compare, only 1; 50 are needed"),
            (
                (100, 100),
                (60, 1),
                "old.txt: only 100 of its 10,000 texts are different, and too few of them are in a sample as large as "
                "the other set; leave out the copies",
            ),
        ],
    )
    def test_copies_do_not_make_a_set_large_enough(
        self, first, second, problem, tiny_model, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.chdir(tmp_path)
        for name, (count, copies) in {"old.txt": first, "new.txt": second}.items():
            lines = [f"{name} 房间 {number}" for number in range(count)] * copies
            (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
        status, out, err = self.run(capsys, "old.txt", "new.txt", "--model", tiny_model, "--predictions", 0)
        assert (status, out) == (1, "")
        assert_one_error(err, problem)

    def test_help_loads_no_heavy_library(self):
        program = ROOT / "tests" / "programs" / "modules_of_import.py"
        run = subprocess.run([sys.executable, program, "recipes.drift"], capture_output=True, check=True)
        assert {"numpy", "onnx", "onnxruntime", "tokenizers", "keras"}.isdisjoint(json.loads(run.stdout))

    def test_a_quantized_model(self, sets, tiny_model, tmp_path, capsys):
        from recipes.export import write_quantized

        for kind in ("int8", "float16-embeddings"):
            write_quantized(str(tiny_model), str(tmp_path / f"{kind}.onnx"), kind)
        results = [
            self.run(capsys, sets / "old.csv", sets / "new.csv", "--model", model, "--predictions", 0)[1].splitlines()
            for model in (tiny_model, tmp_path / "int8.onnx", tmp_path / "float16-embeddings.onnx")
        ]
        distances = [float(lines[-3].split()[-3]) for lines in results]
        assert distances == pytest.approx([distances[0]] * 3, rel=0.1)

    def test_blocks_of_long_texts_are_smaller(self):
        assert [len(block) for block in command.blocks(["好"] * 2500)] == [1024, 1024, 452]
        assert [len(block) for block in command.blocks(["好" * 150_000] * 3)] == [2, 1]
        assert sum(1 for _ in command.blocks([])) == 0

    def test_the_vectors_are_those_of_the_tokens(self, tiny_model):
        assert command.token_vectors(tiny_model.with_suffix(".onnx")).shape[0] == sample_tokenizer().get_vocab_size()
