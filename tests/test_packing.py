"""Packed rows: they contain every document, are cached by all settings, and record where words begin."""

import errno
import functools
import itertools
import json
import random
import subprocess
import sys
import tempfile
import tracemalloc
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rjieba
from hypothesis import given
from hypothesis import strategies as st
from packed_rows import CLASSIFY, PAD, SEPARATE, chunks_in, packed_simply

from system.errors import InputError, OutputError
from text.corpus import iter_texts
from text.packing import corpus_writer, packing, tokenizing
from text.packing.packing import pack_corpus
from text.packing.row_file import RowFile
from text.packing.row_packer import RowPacker
from text.sources import SAMPLE_CORPUS
from text.tokens.tokenizer import OWN_TOKENIZER, SPECIAL_TOKENS, load_tokenizer, wordpiece_tokenizer

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "tests" / "programs"
SAMPLE_TEXTS = list(iter_texts(["sample"]))


def character_tokenizer(more=()):
    """Return a tokenizer with one token for each character of the sample, and for each further entry."""
    characters = sorted(set("".join(SAMPLE_TEXTS).lower()) - {" "})
    latin = [f"##{character}" for character in characters if character.isascii()]
    return wordpiece_tokenizer([*SPECIAL_TOKENS, *characters, *latin, *more])


@pytest.fixture(scope="module")
def tokenizer():
    return character_tokenizer()


def expected_chunks(tokenizer, texts, max_seq_len):
    longest = max_seq_len - 2
    encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
    return Counter(
        tuple(encoding.ids[start : start + longest])
        for encoding in encodings
        for start in range(0, len(encoding.ids), longest)
    )


def all_chunks(corpus):
    return chunks_in(corpus.train.input_ids) + chunks_in(corpus.held_out.input_ids)


def write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


class TestSample:
    @pytest.mark.parametrize("max_seq_len", [16, 64])
    def test_every_document_is_in_the_rows(self, folder, tokenizer, max_seq_len):
        corpus = pack_corpus(["sample"], tokenizer, max_seq_len, folder, held_out_fraction=0.1)
        for split in (corpus.train, corpus.held_out):
            assert split.input_ids.shape[1] == max_seq_len
            assert split.input_ids.dtype == np.uint16
            assert split.continues_word is None
        assert all_chunks(corpus) == expected_chunks(tokenizer, SAMPLE_TEXTS, max_seq_len)

    @pytest.mark.skipif(not OWN_TOKENIZER.is_file(), reason="the project's own vocabulary has not been trained yet")
    def test_hardly_anything_is_padding(self, folder):
        corpus = pack_corpus(["sample"], load_tokenizer(), 64, folder)
        assert np.mean(corpus.train.input_ids == PAD) < 0.05

    def test_counts(self, folder, tokenizer):
        corpus = pack_corpus(["sample"], tokenizer, 64, folder, held_out_fraction=0.1)
        splits = (corpus.train, corpus.held_out)
        assert sum(split.documents for split in splits) == len(SAMPLE_TEXTS)
        assert sum(split.characters for split in splits) == len("".join(SAMPLE_TEXTS))
        for split in splits:
            assert split.tokens == np.sum(~np.isin(split.input_ids, [PAD, CLASSIFY, SEPARATE]))
            assert split.characters_per_token == split.characters / split.tokens
        assert 0.05 < corpus.held_out.documents / len(SAMPLE_TEXTS) < 0.15

    def test_the_number_of_documents_can_be_limited(self, folder, tokenizer):
        corpus = pack_corpus(["sample"], tokenizer, 64, folder, held_out_fraction=0.3, max_documents=40)
        assert corpus.train.documents + corpus.held_out.documents == 40
        assert all_chunks(corpus) == expected_chunks(tokenizer, SAMPLE_TEXTS[:40], 64)

    def test_training_rows_contain_nothing_that_was_held_out(self, folder, tokenizer):
        corpus = pack_corpus(["sample"], tokenizer, 256, folder, held_out_fraction=0.3)
        train, held_out = chunks_in(corpus.train.input_ids), chunks_in(corpus.held_out.input_ids)
        assert held_out
        assert train.keys() & held_out.keys() == set()


def test_copies_of_a_document_are_in_the_same_split(tmp_path, tokenizer):
    documents = [text[:40] for text in SAMPLE_TEXTS[:60]] * 4
    random.Random(0).shuffle(documents)
    source = write_lines(tmp_path / "a.txt", documents)
    corpus = pack_corpus([source], tokenizer, 64, tmp_path / "rows", held_out_fraction=0.3)
    assert set(chunks_in(corpus.train.input_ids).values()) == {4}
    assert set(chunks_in(corpus.held_out.input_ids).values()) == {4}
    assert corpus.train.documents + corpus.held_out.documents == 240


@pytest.mark.parametrize(
    ("lines", "documents"),
    [([], 0), (["", "  "], 0), (["只有一个"], 1), (["\u200b", "\u200b"], 2)],
    ids=["no line", "blank lines", "one document", "documents without a token"],
)
def test_few_documents_leave_a_split_without_rows_each_time(tmp_path, tokenizer, lines, documents):
    source = write_lines(tmp_path / "a.txt", lines)
    for _ in range(2):
        corpus = pack_corpus([source], tokenizer, 16, tmp_path / "rows")
        assert corpus.train.documents + corpus.held_out.documents == documents
        assert min(len(split.input_ids) for split in (corpus.train, corpus.held_out)) == 0


def test_unwanted_texts_and_lines_of_them_are_left_out(tmp_path, tokenizer):
    line = SAMPLE_TEXTS[1][:30]
    source = write_lines(tmp_path / "a.txt", [*SAMPLE_TEXTS[:8], line])
    corpus = pack_corpus([source], tokenizer, 64, tmp_path / "rows", unwanted=[f"{SAMPLE_TEXTS[0]}！", f"好\n{line}"])
    assert corpus.train.documents + corpus.held_out.documents == 7


def test_a_table_without_the_text_column_has_one_of_the_usual_names(tmp_path, tokenizer):
    source = write_lines(tmp_path / "a.csv", ["text", *(text[:9] for text in SAMPLE_TEXTS[:9])])
    corpus = pack_corpus([source], tokenizer, 64, tmp_path / "rows", text_column="words", or_usual=True)
    assert corpus.train.documents + corpus.held_out.documents == 9


@pytest.mark.parametrize(("vocab_size", "dtype"), [(2**16, np.uint16), (2**16 + 1, np.uint32)])
def test_a_large_vocabulary_takes_32_bits(tmp_path, vocab_size, dtype):
    small = character_tokenizer().get_vocab_size()
    large = character_tokenizer([*(f"##{number}" for number in range(10, 10 + vocab_size - small - 1)), "鱻"])
    assert large.token_to_id("鱻") == vocab_size - 1
    source = write_lines(tmp_path / "a.txt", [text + "鱻" for text in SAMPLE_TEXTS[:40]])
    corpus = pack_corpus([source], large, 64, tmp_path / "rows", held_out_fraction=0.3)
    assert corpus.train.input_ids.dtype == corpus.held_out.input_ids.dtype == dtype
    for split in (corpus.train, corpus.held_out):
        assert np.sum(split.input_ids == vocab_size - 1) == split.documents


class TestCache:
    @pytest.fixture
    def pack(self, tmp_path, tokenizer):
        source = write_lines(
            tmp_path / "a.csv", ["text,title", *(f"{text[:20]},{text[20:26]}" for text in SAMPLE_TEXTS[:80])]
        )

        def pack(**changes):
            arguments = {"sources": [source], "tokenizer": tokenizer, "max_seq_len": 32, "held_out_fraction": 0.3}
            return pack_corpus(**({"cache_folder": tmp_path / "rows"} | arguments | changes))

        return pack

    def files(self, folder):
        return {path.relative_to(folder): (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.rglob("*.*")}

    def test_packed_once(self, tmp_path, pack):
        first = pack()
        before = self.files(tmp_path / "rows")
        again = pack()
        assert again.sha256 == first.sha256
        assert self.files(tmp_path / "rows") == before
        assert {path.suffix for path in before} == {".npy", ".json"}, "nothing temporary is left"
        self.assert_same_rows(first.train, again.train)
        self.assert_same_rows(first.held_out, again.held_out)

    def assert_same_rows(self, one, other):
        for name, value in vars(one).items():
            np.testing.assert_array_equal(value, getattr(other, name))

    @pytest.mark.parametrize(
        "changes",
        [
            {"max_seq_len": 33},
            {"held_out_fraction": 0.31},
            {"whole_words": True},
            {"next_sentence": True},
            {"max_documents": 70},
            {"text_column": "title"},
            {"exclude": [str(SAMPLE_CORPUS)]},
            {"unwanted": [SAMPLE_TEXTS[0]]},
            {"tokenizer": character_tokenizer(["鱻"])},
            {"sources": [str(SAMPLE_CORPUS)]},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_any_other_setting_is_packed_anew(self, pack, changes):
        first, other = pack(), pack(**changes)
        assert first.sha256 != other.sha256
        assert pack().sha256 == first.sha256

    def test_a_changed_file_is_packed_anew(self, tmp_path, pack):
        source = write_lines(tmp_path / "b.txt", SAMPLE_TEXTS[:80])
        first = pack(sources=[source])
        write_lines(tmp_path / "b.txt", SAMPLE_TEXTS[:81])
        other = pack(sources=[source])
        assert first.sha256 != other.sha256
        assert other.train.documents + other.held_out.documents == 81

    def test_the_name_of_a_file_does_not_matter_but_its_kind_does(self, tmp_path, pack):
        content = ["text", *SAMPLE_TEXTS[:80]]
        as_text, copy, as_table = (
            pack(sources=[write_lines(tmp_path / name, content)]) for name in ("a.txt", "b.txt", "c.tsv")
        )
        assert as_text.sha256 == copy.sha256 != as_table.sha256
        assert as_text.train.documents + as_text.held_out.documents == 81
        assert as_table.train.documents + as_table.held_out.documents == 80


class Killed(Exception):
    """A stand-in for SIGKILL."""


def texts_until_killed(texts, count, error):
    yield from texts[:count]
    raise error


def assert_same_files(folder, other):
    """Check that the only corpus in a cache folder has the same files as that in another one, byte for byte."""
    files = [
        {path.name: path.read_bytes() for path in each.iterdir()} for [each] in (folder.iterdir(), other.iterdir())
    ]
    assert files[0] == files[1]


class TestInterruptedPacking:
    TEXTS, ERROR = SAMPLE_TEXTS[:60], Killed

    @pytest.fixture
    def pack(self, tmp_path, tokenizer, monkeypatch):
        """Pack the texts in blocks of 8 with a checkpoint after each, perhaps until a number of texts."""
        source = write_lines(tmp_path / "a.txt", self.TEXTS)
        monkeypatch.setattr(tokenizing, "DOCUMENTS_PER_BLOCK", 8)
        monkeypatch.setattr(tokenizing, "available_cores", lambda: 1)
        monkeypatch.setattr(corpus_writer, "CHARACTERS_PER_CHECKPOINT", 1)

        def pack(folder="rows", killed_after=None, **options):
            options = {"held_out_fraction": 0.3, "next_sentence": True, "whole_words": True} | options
            with monkeypatch.context() as patch:
                if killed_after is not None:
                    texts = texts_until_killed(self.TEXTS, killed_after, self.ERROR)
                    patch.setattr(packing, "iter_texts", lambda *_, **__: texts)
                return pack_corpus([source], tokenizer, 32, tmp_path / folder, **options)

        return pack

    @pytest.mark.parametrize("killed_after", [[5], [17], [59], [20, 40], [40, 20, 47]])
    @pytest.mark.parametrize("options", [{}, {"next_sentence": False, "whole_words": False}], ids=["all", "plain"])
    def test_it_continues_and_the_files_are_those_of_one_go(self, tmp_path, pack, capsys, killed_after, options):
        for count in killed_after:
            with pytest.raises(Killed):
                pack(killed_after=count, **options)
        capsys.readouterr()
        pack(**options)
        packed_before = (max(killed_after) - 1) // 8 * 8  # a block is complete when another text follows
        note = f"continuing an interrupted packing after {packed_before} documents\n"
        assert capsys.readouterr().err.startswith(note) == bool(packed_before)
        pack("other", **options)
        assert_same_files(tmp_path / "rows", tmp_path / "other")

    @pytest.mark.parametrize(("after", "is_kept"), [(40, True), (8, False)])
    def test_ctrl_c_keeps_what_is_packed(self, tmp_path, pack, monkeypatch, capsys, after, is_kept):
        monkeypatch.setattr(TestInterruptedPacking, "ERROR", KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            pack(killed_after=after)
        note = "the packed rows are kept; run the same command again to continue\n"
        assert capsys.readouterr().err.endswith(note) == is_kept
        [folder] = (tmp_path / "rows").iterdir()
        assert (len(list(folder.iterdir())) > 0) == is_kept

    def test_what_a_killed_run_leaves_behind_the_checkpoint_is_cut_off(self, tmp_path, pack):
        with pytest.raises(Killed):
            pack(killed_after=40)
        [folder] = (tmp_path / "rows").iterdir()
        for path in folder.glob("*.npy"):
            path.write_bytes(path.read_bytes() + b"half a row")
        (folder / ".counts.1234abcd.json").write_text("{")
        pack()
        pack("other")
        assert_same_files(tmp_path / "rows", tmp_path / "other")

    @pytest.mark.parametrize("name", ["held_out_pairs.npy", "train_input_ids.npy", "checkpoint.json"])
    @pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
    def test_a_damaged_checkpoint_or_file_lets_it_start_over(self, tmp_path, pack, capsys, name, damage):
        with pytest.raises(Killed):
            pack(killed_after=40)
        [path] = (tmp_path / "rows").rglob(name)
        damage(path)
        capsys.readouterr()
        pack()
        assert "continuing" not in capsys.readouterr().err
        pack("other")
        assert_same_files(tmp_path / "rows", tmp_path / "other")

    def test_a_full_disk_leaves_the_rows_of_the_checkpoint(self, tmp_path, pack, monkeypatch):
        append = RowFile.append

        def until_full(self, rows):
            if self.num_rows > 20:
                raise OSError(errno.ENOSPC, "No space left on device")
            append(self, rows)

        with monkeypatch.context() as patch:
            patch.setattr(RowFile, "append", until_full)
            with pytest.raises(OutputError, match="No space left on device; free space and run the same command again"):
                pack()
        [folder] = (tmp_path / "rows").iterdir()
        splits = json.loads((folder / "checkpoint.json").read_text())["splits"]
        for name, split in splits.items():
            size = (folder / f"{name}_input_ids.npy").stat().st_size
            assert size == 128 + 2 * 32 * split["rows"]
        pack()
        pack("other")
        assert_same_files(tmp_path / "rows", tmp_path / "other")


LINES = st.lists(st.text("很好不，。！ 房间干净ab1", min_size=1, max_size=50).filter(str.strip), max_size=40)


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize("next_sentence", [False, True])
@given(texts=LINES, max_seq_len=st.integers(8, 24), data=st.data())
def test_rows_are_those_of_the_simple_packer(tokenizer, whole_words, next_sentence, texts, max_seq_len, data):
    options = {"held_out_fraction": 0.3, "whole_words": whole_words, "next_sentence": next_sentence}
    cuts = sorted(data.draw(st.lists(st.integers(0, len(texts)), max_size=2)))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizing, "DOCUMENTS_PER_BLOCK", 7)
        patch.setattr(tokenizing, "DOCUMENTS_AT_ONCE", 3)
        patch.setattr(tokenizing, "available_cores", lambda: 1)
        # Several files, one after the other.
        sources = [
            write_lines(Path(folder, f"{number}.txt"), texts[start:end])
            for number, (start, end) in enumerate(pairwise([0, *cuts, len(texts)]))
        ]
        corpus = pack_corpus(sources, tokenizer, max_seq_len, Path(folder, "rows"), **options)
        expected = packed_simply(texts, tokenizer, max_seq_len, texts_per_block=7, **options)
        for rows, arrays in zip((corpus.train, corpus.held_out), expected, strict=True):
            assert {name: getattr(rows, name).tolist() for name in arrays} == arrays
            assert (rows.continues_word is None, rows.pairs is None) == (not whole_words, not next_sentence)


def test_the_memory_does_not_grow_with_the_corpus(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizing, "DOCUMENTS_PER_BLOCK", 128)
    monkeypatch.setattr(tokenizing, "available_cores", lambda: 1)
    monkeypatch.setattr(corpus_writer, "CHARACTERS_PER_CHECKPOINT", 20_000)
    monkeypatch.setattr(corpus_writer, "RowPacker", functools.partial(RowPacker, max_open_rows=64))

    # That reading takes constant memory is tested with the readers.
    monkeypatch.setattr(packing, "iter_texts", lambda *_, **__: itertools.cycle(SAMPLE_TEXTS))

    def peak(count):
        tracemalloc.start()
        pack_corpus(["sample"], tokenizer, 32, tmp_path, max_documents=count)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1000)  # what is imported and compiled once
    assert peak(8000) < 1.1 * peak(2000)


def test_a_full_progress_bar_is_all_lines(tmp_path, tokenizer, capsys):
    source = write_lines(tmp_path / "a.txt", SAMPLE_TEXTS[:9])
    pack_corpus([source], tokenizer, 32, tmp_path / "rows")
    pack_corpus([source], tokenizer, 32, tmp_path / "rows", max_documents=4)
    shown = capsys.readouterr().err
    assert "| 9.00/9.00 [" in shown and "| 4.00/4.00 [" in shown


class TestWholeWords:
    def test_a_known_sentence(self, tmp_path, tokenizer):
        assert rjieba.cut("服务态度很好") == ["服务态度", "很", "好"]
        source = write_lines(tmp_path / "a.txt", ["服务态度很好", *SAMPLE_TEXTS[:60]])
        corpus = pack_corpus([source], tokenizer, 64, tmp_path / "rows", held_out_fraction=0.3, whole_words=True)
        ids = tokenizer.encode("服务态度很好", add_special_tokens=False).ids
        assert self.chunks(corpus)[tuple(ids), (False, True, True, True, False, False)] == 1

    @pytest.mark.parametrize("max_seq_len", [16, 512])
    def test_words_continue_as_rjieba_splits_them(self, tmp_path, tokenizer, max_seq_len):
        corpus = pack_corpus(["sample"], tokenizer, max_seq_len, tmp_path, held_out_fraction=0.3, whole_words=True)
        expected, longest = Counter(), max_seq_len - 2
        for text in SAMPLE_TEXTS:
            word_of = [number for number, word in enumerate(rjieba.cut(text)) for _ in word]
            assert len(word_of) == len(text)
            encoding = tokenizer.encode(text, add_special_tokens=False)
            words = [word_of[start] for start, _ in encoding.offsets]
            for start in range(0, len(words), longest):
                chunk = words[start : start + longest]
                continues = [False, *(one == other for one, other in pairwise(chunk))]
                expected[tuple(encoding.ids[start : start + longest]), tuple(continues)] += 1
        assert self.chunks(corpus) == expected

    def chunks(self, corpus):
        """Return the chunks with their marks; check that special tokens, padding and first tokens have no mark."""
        chunks = Counter()
        for split in (corpus.train, corpus.held_out):
            assert split.continues_word.dtype == bool
            assert split.continues_word.shape == split.input_ids.shape
            for row, marks in zip(split.input_ids.tolist(), split.continues_word.tolist(), strict=True):
                ends = [position for position, token in enumerate(row) if token in (CLASSIFY, SEPARATE, PAD)]
                assert not any(marks[position] for position in ends)
                for start, end in pairwise([*ends, len(row)]):
                    if end - start > 1:
                        assert not marks[start + 1]
                        chunks[tuple(row[start + 1 : end]), tuple(marks[start + 1 : end])] += 1
        return chunks


@pytest.fixture(scope="module", params=[24, 64])
def corpus_of_pairs(request, folder, tokenizer):
    return pack_corpus(["sample"], tokenizer, request.param, folder, held_out_fraction=0.3, next_sentence=True)


class TestNextSentence:
    def test_nothing_is_lost(self, corpus_of_pairs, tokenizer):
        encodings = tokenizer.encode_batch(SAMPLE_TEXTS, add_special_tokens=False)
        expected = Counter(token for encoding in encodings for token in encoding.ids)
        found = Counter(token for chunk in all_chunks(corpus_of_pairs).elements() for token in chunk)
        assert found == expected
        assert corpus_of_pairs.train.tokens + corpus_of_pairs.held_out.tokens == found.total()

    def test_a_pair_is_consecutive_text_of_one_document(self, corpus_of_pairs, tokenizer):
        encodings = tokenizer.encode_batch(SAMPLE_TEXTS, add_special_tokens=False)
        texts = [f",{','.join(map(str, encoding.ids))}," for encoding in encodings]
        for split in (corpus_of_pairs.train, corpus_of_pairs.held_out):
            assert split.pairs.dtype == np.uint32 and split.pairs.shape == (len(split.input_ids), 2)
            assert 0.5 * len(split.input_ids) < split.num_pairs == np.sum(split.pairs[:, 0] > 0)
            for row, (second_start, _) in zip(split.input_ids.tolist(), split.pairs.tolist(), strict=True):
                if second_start:
                    ends = [position for position, token in enumerate(row) if token == SEPARATE]
                    assert (second_start, row[0], set(row[ends[-1] + 1 :]) - {PAD}) == (ends[0] + 1, CLASSIFY, set())
                    assert len(ends) == 2
                    both = f",{','.join(map(str, row[1 : ends[0]] + row[second_start : ends[1]]))},"
                    assert any(both in text for text in texts)

    def test_rows_of_a_document_have_its_number(self, tmp_path, tokenizer):
        documents = [f"{SAMPLE_TEXTS[number]}。{SAMPLE_TEXTS[-number]}" for number in range(1, 60)]
        source = write_lines(tmp_path / "a.txt", documents)
        options = {"held_out_fraction": 0.3, "next_sentence": True}
        rows = pack_corpus([source], tokenizer, 32, tmp_path / "rows", **options).train
        paired = rows.pairs[rows.pairs[:, 0] > 0]
        owners = {}
        for row, (second_start, number) in zip(rows.input_ids.tolist(), rows.pairs.tolist(), strict=True):
            if second_start:
                text = "".join(tokenizer.id_to_token(token) for token in row[1 : second_start - 1]).replace("##", "")
                found = {index for index, document in enumerate(documents) if text in document.lower()}
                owners[number] = owners.get(number, found) & found
        assert len(owners) < len(paired), "some documents have several pairs"
        assert all(owners.values()) and len(set.union(*owners.values())) >= len(owners)

    def test_rows_come_from_the_cache_the_second_time(self, tmp_path, tokenizer):
        options = {"held_out_fraction": 0.3, "next_sentence": True}
        first, again = (pack_corpus(["sample"], tokenizer, 32, tmp_path, **options) for _ in range(2))
        assert first.sha256 == again.sha256
        np.testing.assert_array_equal(first.train.pairs, again.train.pairs)


class TestTwoRunsAtOnce:
    @pytest.fixture
    def packing_process(self, tmp_path):
        """A process that packs the sample into the folder "cache", and waits halfway for a line of input."""
        command = [sys.executable, PROGRAMS / "pack_slowly.py", tmp_path / "cache"]
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, cwd=ROOT, encoding="utf-8", **options)
        assert process.stdout.readline() == "packing\n"
        yield process
        process.kill()
        process.communicate()

    def pack(self, folder):
        corpus = pack_corpus(["sample"], load_tokenizer(), 32, folder)
        return np.asarray(corpus.train.input_ids), np.asarray(corpus.held_out.input_ids)

    def test_the_second_is_refused_and_the_first_is_whole(self, tmp_path, packing_process):
        with pytest.raises(InputError, match="is being written by another run: wait until it has packed the same"):
            self.pack(tmp_path / "cache")
        packing_process.communicate("\n")
        assert packing_process.returncode == 0
        for rows, expected in zip(self.pack(tmp_path / "cache"), self.pack(tmp_path / "other"), strict=True):
            np.testing.assert_array_equal(rows, expected)
        assert [entry.name for entry in (tmp_path / "cache").iterdir() if entry.name.startswith(".")] == []

    def test_a_killed_run_does_not_lock_the_cache(self, tmp_path, packing_process):
        packing_process.kill()
        packing_process.wait()
        for rows, expected in zip(self.pack(tmp_path / "cache"), self.pack(tmp_path / "other"), strict=True):
            np.testing.assert_array_equal(rows, expected)
        names = [sorted(entry.name for entry in (tmp_path / name).rglob("*")) for name in ("cache", "other")]
        assert names[0] == names[1]


def test_a_corpus_that_cannot_be_read_to_the_end_leaves_no_rows(tmp_path):
    (tmp_path / "good.txt").write_text("\n".join(SAMPLE_TEXTS), encoding="utf-8")
    (tmp_path / "table.csv").write_text("number\n1\n", encoding="utf-8")
    with pytest.raises(InputError, match="no text column"):
        pack_corpus([str(tmp_path / "good.txt"), str(tmp_path / "table.csv")], load_tokenizer(), 32, tmp_path / "cache")
    assert [entry for entry in (tmp_path / "cache").rglob("*") if not entry.is_dir()] == []


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path):
    command = [sys.executable, PROGRAMS / "pack_on_full_disk.py", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    error = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert error.startswith(f"error: cannot write {tmp_path}")
    assert [entry for entry in tmp_path.rglob("*") if not entry.is_dir()] == []


def test_a_missing_source_is_refused_by_its_option(tmp_path, tokenizer):
    source = write_lines(tmp_path / "a.txt", SAMPLE_TEXTS)
    with pytest.raises(InputError, match="give --corpus"):
        pack_corpus(["nope.txt"], tokenizer, 32, tmp_path / "rows")
    with pytest.raises(InputError, match="give --exclude"):
        pack_corpus([source], tokenizer, 32, tmp_path / "rows", exclude=["nope.txt"])
