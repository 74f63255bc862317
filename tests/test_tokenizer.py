"""The tokenizer: tiny vocabularies made here, those of other makers, and the project's own."""

import itertools
import json
import os
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from system.errors import InputError
from text.sources import read_labelled
from text.tokens.tokenizer import (
    BLANKS,
    BORDERS,
    OWN_TOKENIZER,
    PAD,
    SPECIAL_TOKENS,
    UNKNOWN,
    load_tokenizer,
    special_ids,
    tokenizer_from_json,
    wordpiece_tokenizer,
)
from text.tokens.vocabulary import train_unigram

ROOT = Path(__file__).resolve().parents[1]
VOCAB_SIZE = 115
MIN_COUNT = 3
LINES = (
    "前台说：“没有房间了。”我说‘怎么会’……",
    "住了2晚，2016年7月18日的房价是398元，第3天退房。",
    "WiFi很慢，KTV太吵，hotel的wifi 100%不能用？",
    "离地铁站很近，走路5分钟就到，下次还会住这里！",
)
SUBJECTS, NOUNS = ("酒店的", "房间的", "这里的"), ("服务员", "早餐", "态度")
DEGREES, VERDICTS = ("也很", "真的不", "太"), ("好，", "差！", "干净。", "值398元")
TEXTS = [
    *map("".join, itertools.product(SUBJECTS, NOUNS, DEGREES, VERDICTS)),
    *LINES * MIN_COUNT,
    *("靐龘好靐", "靐龘不好"),
]
WORDPIECES = [*SPECIAL_TOKENS, "好", "不", "[", "]", "，", "sep", "mask", "wi", "##fi", "##好", "1", "##2"]
USER_TEXTS = st.lists(
    st.one_of(st.text(max_size=8), st.sampled_from([*SPECIAL_TOKENS, "［ＭＡＳＫ］", "[sep]", "好", " ", *LINES]))
).map("".join)
VOCABULARY_WITHOUT_MASK = [token for token in WORDPIECES if token != "[MASK]"]
VOCABULARY_WITH_PAD_LAST = [*WORDPIECES[1:], PAD]


@pytest.fixture(scope="module")
def unigram():
    return train_unigram(lambda: iter(TEXTS), VOCAB_SIZE, min_count=MIN_COUNT)


@pytest.fixture(scope="module", params=["unigram", "wordpiece"])
def tokenizer(request):
    return request.getfixturevalue("unigram") if request.param == "unigram" else wordpiece_tokenizer(WORDPIECES)


def ids_of(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def split_first(tokenizer):
    """The same pieces, looked for between the borders that they were learnt between."""
    split = Tokenizer.from_str(tokenizer.to_str())
    split.pre_tokenizer = BORDERS
    return split


def kind_of(character):
    category = unicodedata.category(character)
    if category.startswith("P") or (character.isascii() and category.startswith("S")):
        return "punctuation"
    return "digit" if category.startswith("N") else "other"


def pieces_of(tokenizer):
    return [piece for piece in tokenizer.get_vocab() if piece not in SPECIAL_TOKENS]


def assert_pieces_are_short_and_of_one_kind(tokenizer):
    pieces = pieces_of(tokenizer)
    assert max(map(len, pieces)) == 4
    assert [piece for piece in pieces if len({kind_of(character) for character in piece}) > 1] == []
    assert [piece for piece in pieces if any(character.isspace() for character in piece)] == []


class TestTraining:
    def test_exactly_as_many_entries_as_asked_for(self, unigram):
        assert unigram.get_vocab_size() == VOCAB_SIZE
        assert sorted(unigram.get_vocab().values()) == list(range(VOCAB_SIZE))

    @pytest.mark.parametrize(
        ("vocab_size", "texts", "problem"),
        [
            (5000, TEXTS, "not 5,000: give more text, or ask for fewer entries"),
            (20, TEXTS, "no vocabulary of 20 entries from these texts: .*not large enough"),
            (30, [], "vocabulary of 5 entries, not 30"),
            (30, ["  "], "vocabulary of 5 entries, not 30"),
        ],
    )
    def test_another_number_of_entries_is_an_input_error(self, vocab_size, texts, problem):
        with pytest.raises(InputError, match=problem):
            train_unigram(lambda: texts, vocab_size, min_count=MIN_COUNT)

    def test_an_error_of_the_reader_stays_what_it_is(self):
        calls = []

        def texts():
            calls.append(1)
            yield from TEXTS
            if len(calls) == 2:
                raise InputError("row 7 is broken")

        with pytest.raises(InputError, match="^row 7 is broken$"):
            train_unigram(texts, VOCAB_SIZE, min_count=MIN_COUNT)

    def test_pieces_are_short_and_of_one_kind(self, unigram):
        assert_pieces_are_short_and_of_one_kind(unigram)

    def test_no_piece_crosses_a_border(self):
        # "不，" and "3元" are frequent, and would be entries: 16 characters and the special tokens are all there is.
        pairs = list(itertools.product("早餐服务态度房间前台很好", repeat=2))
        texts = [f"{one}{middle}{other}" for one, other in pairs for middle in ("不，", "3元")]
        assert train_unigram(lambda: texts, 21).get_vocab_size() == 21
        with pytest.raises(InputError, match="vocabulary of 21 entries, not 22"):
            train_unigram(lambda: texts, 22)

    def test_a_rare_character_gets_no_entry(self, unigram):
        assert [piece for piece in pieces_of(unigram) if "龘" in piece] == []
        assert "靐" in unigram.get_vocab()
        assert ids_of(unigram, "龘") == [unigram.token_to_id(UNKNOWN)]

    def test_characters_are_counted_where_asked(self):
        trained = train_unigram(
            lambda: TEXTS, VOCAB_SIZE, min_count=MIN_COUNT, counted_texts=lambda: [*TEXTS, "鱻鱻鱻", "靐"]
        )
        # None of the texts that it learns from holds the first, and the second is rare in them.
        assert {"鱻", "靐"} <= set(pieces_of(trained))

    def test_traditional_characters_become_simplified(self, unigram):
        traditional = "服務員的態度也很好，房間真的不乾淨。"
        assert unigram.normalizer.normalize_str(traditional) == "服务员的态度也很好,房间真的不干净。"
        for pair in ("裏里", "裡里", "衞卫", "著着", "後后", "龍龙", "🏨🏨"):
            assert unigram.normalizer.normalize_str(pair[0]) == pair[1]
        assert ids_of(unigram, traditional) == ids_of(unigram, "服务员的态度也很好，房间真的不干净。")

    def test_chinese_punctuation_is_known(self, unigram):
        for mark in "“”‘’…，。！？：":
            assert unigram.token_to_id(UNKNOWN) not in ids_of(unigram, mark)

    def test_text_ends_where_a_row_does(self, unigram):
        assert unigram.encode("好").ids == [2, *ids_of(unigram, "好"), 3]


class TestText:
    @given(text=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
    def test_full_width_is_half_width(self, unigram, text):
        full_width = "".join("\u3000" if character == " " else chr(ord(character) + 0xFEE0) for character in text)
        assert ids_of(unigram, full_width) == ids_of(unigram, text)

    @given(text=st.text(st.characters(max_codepoint=0x7E)))
    def test_case_makes_no_difference(self, tokenizer, text):
        assert ids_of(tokenizer, text.upper()) == ids_of(tokenizer, text.lower())

    @given(text=USER_TEXTS)
    def test_special_tokens_that_a_user_types_are_text(self, tokenizer, text):
        commands = {tokenizer.token_to_id(token) for token in SPECIAL_TOKENS if token != UNKNOWN}
        assert commands.isdisjoint(ids_of(tokenizer, text))

    def test_a_typed_separator_is_tokenized_as_any_word(self):
        tokens = wordpiece_tokenizer(WORDPIECES).encode("好[SEP][MASK]", add_special_tokens=False).tokens
        assert tokens == ["好", "[", "sep", "]", "[", "mask", "]"]

    @given(text=USER_TEXTS)
    def test_saving_and_loading_changes_no_token(self, tokenizer, text):
        loaded = tokenizer_from_json(tokenizer.to_str())
        assert loaded.encode(text).ids == tokenizer.encode(text).ids
        assert loaded.to_str() == tokenizer.to_str()

    @given(data=st.data())
    def test_decoding_gives_the_normalised_text_without_blanks(self, unigram, data):
        characters = sorted(piece for piece in pieces_of(unigram) if len(piece) == 1)
        text = data.draw(st.text(st.sampled_from([*characters, " ", "\u3000", "\n", "Ｗ", "F", "！", "…"])))
        normalised = unigram.normalizer.normalize_str(text)
        assert unigram.decode(ids_of(unigram, text)) == "".join(normalised.split())


class TestBorders:
    """They are there when a vocabulary is learnt; its pieces keep to them, so that nobody looks for them later."""

    @given(data=st.data())
    def test_the_pieces_are_as_good_as_those_found_between_borders(self, unigram, data):
        pieces = st.sampled_from([*sorted(pieces_of(unigram)), " ", "\u3000", "\n", "\x00"])
        text = "".join(data.draw(st.lists(pieces)))
        model = json.loads(unigram.to_str())["model"]
        assert unigram.token_to_id(UNKNOWN) not in ids_of(unigram, text)

        def score(ids):
            return sum(model["vocab"][token][1] for token in ids)

        # The tokens may differ where two ways are equally good: 好好 and 好 are as likely as 好 and 好好.
        assert score(ids_of(unigram, text)) == pytest.approx(score(ids_of(split_first(unigram), text)))

    def test_a_file_with_borders_is_read_without(self, unigram):
        with_borders = split_first(unigram).to_str()
        assert with_borders != unigram.to_str()
        assert tokenizer_from_json(with_borders).to_str() == unigram.to_str()
        assert type(unigram.pre_tokenizer) is type(BLANKS)

    @pytest.mark.parametrize("splitting", [None, {"type": "Whitespace"}, {"type": "BertPreTokenizer"}])
    def test_another_splitting_stays(self, unigram, splitting):
        loaded = tokenizer_from_json(json.dumps(json.loads(unigram.to_str()) | {"pre_tokenizer": splitting}))
        assert json.loads(loaded.to_str())["pre_tokenizer"] == splitting


class TestSpecialIds:
    def test_special_ids(self, tokenizer):
        ids = special_ids(tokenizer)
        assert ids.dtype == np.int32
        assert [tokenizer.id_to_token(token) for token in ids.tolist()] == list(SPECIAL_TOKENS)
        assert ids[0] == 0


def json_of(vocabulary):
    """A tokenizer file with any vocabulary, whether or not this project takes it."""
    described = json.loads(wordpiece_tokenizer(WORDPIECES).to_str())
    described["model"]["vocab"] = {token: index for index, token in enumerate(vocabulary)}
    described["added_tokens"] = []
    return json.dumps(described)


class TestLoading:
    @pytest.mark.parametrize("names", [["tokenizer.json"], ["vocab.txt"], ["tokenizer.json", "vocab.txt"]])
    @pytest.mark.parametrize("by_folder", [False, True])
    def test_file_or_folder(self, tmp_path, unigram, names, by_folder):
        contents = {"tokenizer.json": unigram.to_str(), "vocab.txt": "\n".join(WORDPIECES) + "\n"}
        for name in names:
            (tmp_path / name).write_text(contents[name], encoding="utf-8")
        expected = unigram if names[0] == "tokenizer.json" else wordpiece_tokenizer(WORDPIECES)
        loaded = load_tokenizer(str(tmp_path) if by_folder else tmp_path / names[0])
        assert loaded.to_str() == expected.to_str()
        assert ids_of(loaded, "不好[SEP]") == ids_of(expected, "不好[SEP]")

    @pytest.mark.parametrize("line_end", ["\n", "\r\n"])
    @pytest.mark.parametrize("at_end", [True, False])
    def test_every_line_of_a_vocabulary_is_an_entry(self, tmp_path, line_end, at_end):
        vocabulary = [*WORDPIECES, "\u2028", "坏", "\u3000"]
        content = line_end.join(vocabulary) + line_end * at_end
        (tmp_path / "vocab.txt").write_bytes(content.encode())
        loaded = load_tokenizer(tmp_path / "vocab.txt")
        assert loaded.get_vocab() == {token: index for index, token in enumerate(vocabulary)}

    def test_truncation_and_padding_of_a_file_are_left_to_the_caller(self, tmp_path, unigram):
        other = tokenizer_from_json(unigram.to_str())
        other.enable_truncation(4)
        other.enable_padding(length=4)
        assert len(tokenizer_from_json(other.to_str()).encode(LINES[0]).ids) > 4
        assert len(tokenizer_from_json(other.to_str()).encode("").ids) == 2

    @pytest.mark.parametrize(
        ("name", "content", "problem"),
        [
            ("a.json", None, "no such tokenizer file"),
            ("a.txt", None, "no such tokenizer file"),
            ("a.json", "", "not a tokenizer"),
            ("a.txt", "", r"the vocabulary lacks \[PAD\], \[UNK\], \[CLS\], \[SEP\], \[MASK\]"),
            ("a.json", b"\xff\xfe\x00\x81" * 9, "cannot be read as a tokenizer"),
            ("a", b"\xff\xfe\x00\x81" * 9, "cannot be read as a tokenizer"),
            ("a.txt", b"\xff\xfe\x00\x81" * 9, "cannot be read as a vocabulary"),
            ("a.json", '{"model": 1}', "not a tokenizer"),
            ("a.json", "[" * 10_000, "not a tokenizer"),
            ("a.json", json_of(VOCABULARY_WITHOUT_MASK), r"lacks \[MASK\]"),
            ("a.txt", "\n".join(VOCABULARY_WITHOUT_MASK), r"lacks \[MASK\]"),
            ("a.json", json_of(VOCABULARY_WITH_PAD_LAST), r"\[PAD\] must be token 0"),
            ("a.txt", "\n".join(VOCABULARY_WITH_PAD_LAST), r"\[PAD\] must be token 0"),
            ("a.txt", "\n".join([*WORDPIECES, "好"]), "has '好' more than once"),
        ],
    )
    def test_what_is_no_tokenizer_is_an_input_error_that_names_the_file(self, tmp_path, name, content, problem):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(InputError, match=problem) as caught:
            load_tokenizer(path)
        assert str(caught.value).startswith(f"{path}: ")

    def test_a_folder_without_a_tokenizer(self, tmp_path):
        with pytest.raises(InputError, match="holds neither tokenizer.json nor vocab.txt"):
            load_tokenizer(tmp_path)


LOAD_A_TOKENIZER = """
import importlib.util, sys

# A machine with requirements.txt alone has no torch, which transformers likes to remark upon.
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "torch" else find_spec(name, package)

from system.command_line import exits_with_status
from text.tokens.tokenizer import load_tokenizer

@exits_with_status
def main(argv=None):
    load_tokenizer(sys.argv[1])

sys.exit(main())
"""


@pytest.mark.parametrize("no_network", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:1"}])
def test_the_hub_out_of_reach_is_one_sentence_and_soon(tmp_path, no_network):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), **no_network}
    started = time.monotonic()
    finished = subprocess.run(
        [sys.executable, "-c", LOAD_A_TOKENIZER, "bert-base-chinese"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
        cwd=tmp_path,
    )
    # The library itself tries for 49 seconds.
    assert time.monotonic() - started < 30
    assert (finished.returncode, finished.stdout) == (1, "")
    [sentence] = finished.stderr.splitlines()
    assert sentence.startswith("error: bert-base-chinese: ")
    assert "--tokenizer" in sentence
    assert "HF_ENDPOINT" in sentence


@pytest.fixture(scope="module")
def bert():
    from transformers import BertTokenizerFast

    return BertTokenizerFast


class TestAgainstTransformers:
    def test_a_saved_folder_encodes_as_transformers_does(self, tmp_path, bert):
        theirs = bert(vocab={token: index for index, token in enumerate(WORDPIECES)})
        theirs.save_pretrained(tmp_path)
        ours = load_tokenizer(tmp_path)

        @settings(deadline=None)
        @given(text=st.text() | st.text(st.sampled_from("好不，Wifi12[] \u3000é龘")))
        def encodes_alike(text):
            assume(not any(token in text for token in SPECIAL_TOKENS))
            assert ours.encode(text).ids == theirs(text).input_ids

        encodes_alike()
        assert ours.encode("WiFi好，12").ids == [2, 12, 13, 5, 9, 15, 16, 3]

    def test_wordpieces_of_bert_base_chinese(self, shared_data, bert):
        path = shared_data / "vocab" / "bert-base-chinese-vocab.txt"
        theirs, ours = bert(vocab=str(path)), load_tokenizer(path)
        assert ours.get_vocab_size() == 21_128
        texts = read_labelled(shared_data / "hotel" / "ChnSentiCorp_htl_all.csv").texts
        texts = [text for text in texts[:: len(texts) // 500] if text][:500]
        assert len(texts) == 500
        expected = theirs(texts).input_ids
        assert [encoding.ids for encoding in ours.encode_batch(texts)] == expected
        assert ours.token_to_id(UNKNOWN) in np.concatenate(expected), "the reviews try what the vocabulary lacks, too"


@pytest.fixture(scope="module")
def own():
    return load_tokenizer()


@pytest.mark.skipif(not OWN_TOKENIZER.is_file(), reason="the project's own vocabulary has not been trained yet")
class TestOwnVocabulary:
    def test_number_of_entries(self, own):
        assert sorted(own.get_vocab().values()) == list(range(21_128))
        assert special_ids(own).tolist() == [0, 1, 2, 3, 4]

    def test_pieces_are_short_and_of_one_kind(self, own):
        assert_pieces_are_short_and_of_one_kind(own)

    def test_knows_the_marks_and_the_words_that_matter(self, own):
        for character in "“”‘’…。！？很不好差":
            assert own.token_to_id(UNKNOWN) not in ids_of(own, character), character

    def test_the_sample_has_the_tokens_that_it_has_between_borders(self, own):
        split = split_first(own)
        texts = read_labelled("sample").texts
        assert [ids_of(own, text) for text in texts] == [ids_of(split, text) for text in texts]

    def test_hardly_a_token_of_the_sample_is_unknown(self, own):
        ids = np.concatenate([ids_of(own, text) for text in read_labelled("sample").texts])
        assert np.mean(ids == own.token_to_id(UNKNOWN)) <= 0.001
