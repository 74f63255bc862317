"""The tokenizer: of a small vocabulary, of BERT's vocabulary, and the project's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import text_checks
from hub_servers import silent_server
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny import WORDS, tokenizer_of
from token_pieces import assert_pieces_are_short_and_of_one_kind, ids_of, split_at_borders

from system.errors import InputError
from text.sources import read_labelled
from text.tokens.tokenizer import (
    PAD,
    SPECIAL_TOKENS,
    UNKNOWN,
    load_tokenizer,
    read_tokenizer,
    renumbered,
    special_ids,
    tokenizer_from_json,
    wordpiece_tokenizer,
)

PROGRAM = Path(__file__).parent / "programs" / "load_tokenizer.py"
UNIGRAM_PIECES = (*WORDS, "wifi", "。", ",", ".", "!", "2", "100", "的服务员", "不好")
WORDPIECES = [*SPECIAL_TOKENS, "好", "不", "[", "]", "，", "sep", "mask", "wi", "##fi", "##好", "1", "##2"]
VOCABULARY_WITHOUT_MASK = [token for token in WORDPIECES if token != "[MASK]"]
VOCABULARY_WITH_PAD_LAST = [*WORDPIECES[1:], PAD]


@pytest.fixture(scope="module")
def unigram():
    return tokenizer_of(UNIGRAM_PIECES)


@pytest.fixture(scope="module", params=["unigram", "wordpiece"])
def tokenizer(request):
    return request.getfixturevalue("unigram") if request.param == "unigram" else wordpiece_tokenizer(WORDPIECES)


class TestText:
    @given(text=text_checks.PRINTABLE_ASCII)
    def test_full_width_characters_are_treated_like_half_width_ones(self, unigram, text):
        text_checks.assert_full_width_is_treated_like_half_width(unigram, text)

    @given(text=text_checks.ASCII)
    def test_case_makes_no_difference(self, tokenizer, text):
        text_checks.assert_case_makes_no_difference(tokenizer, text)

    @given(text=text_checks.USER_TEXTS)
    def test_special_tokens_that_a_user_types_are_text(self, tokenizer, text):
        text_checks.assert_no_special_token(tokenizer, text)

    def test_a_typed_separator_is_tokenized_as_any_word(self):
        tokens = wordpiece_tokenizer(WORDPIECES).encode("好[SEP][MASK]", add_special_tokens=False).tokens
        assert tokens == ["好", "[", "sep", "]", "[", "mask", "]"]

    @given(text=text_checks.USER_TEXTS)
    def test_saving_and_loading_changes_no_token(self, tokenizer, text):
        text_checks.assert_saving_and_loading_changes_no_token(tokenizer, text)

    @given(data=st.data())
    def test_decoding_returns_the_normalised_text_without_whitespace(self, unigram, data):
        text = data.draw(text_checks.known_texts(unigram))
        text_checks.assert_decoding_returns_the_normalised_text_without_whitespace(unigram, text)


class TestBorders:
    """A vocabulary is trained on text split at the borders. No piece crosses one, so loading drops this split."""

    def test_a_file_with_borders_is_loaded_without(self, unigram):
        text_checks.assert_a_file_with_borders_is_loaded_without(unigram)

    @pytest.mark.parametrize("splitting", [None, {"type": "Whitespace"}, {"type": "BertPreTokenizer"}])
    def test_another_pre_tokenizer_is_kept(self, unigram, splitting):
        loaded = tokenizer_from_json(json.dumps(json.loads(unigram.to_str()) | {"pre_tokenizer": splitting}))
        assert json.loads(loaded.to_str())["pre_tokenizer"] == splitting


def test_special_ids(tokenizer):
    text_checks.assert_special_ids_are_those_of_the_special_tokens(tokenizer)


def json_of(vocabulary):
    """Return a tokenizer file with any vocabulary, valid or not."""
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

    def test_truncation_and_padding_of_a_file_are_switched_off(self, tmp_path, unigram):
        other = tokenizer_from_json(unigram.to_str())
        other.enable_truncation(4)
        other.enable_padding(length=4)
        assert len(tokenizer_from_json(other.to_str()).encode("房间很好，下次还来。").ids) > 4
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
            ("a.txt", "\n".join([*WORDPIECES, "好"]), "contains '好' more than once"),
        ],
    )
    def test_an_invalid_file_is_refused_by_its_name(self, tmp_path, name, content, problem):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(InputError, match=problem) as caught:
            load_tokenizer(path)
        assert str(caught.value).startswith(f"{path}: ")

    @pytest.mark.parametrize(
        ("name", "content"),
        [("a.json", json_of(VOCABULARY_WITH_PAD_LAST)), ("a.txt", "\n".join(VOCABULARY_WITH_PAD_LAST))],
    )
    def test_padding_becomes_token_0(self, tmp_path, name, content):
        (tmp_path / name).write_text(content, encoding="utf-8")
        tokenizer, padding_id = read_tokenizer(tmp_path / name)
        assert padding_id == len(WORDPIECES) - 1
        expected = {token: index for index, token in enumerate(VOCABULARY_WITH_PAD_LAST)}
        expected |= {PAD: 0, VOCABULARY_WITH_PAD_LAST[0]: padding_id}
        assert tokenizer.get_vocab() == expected
        assert tokenizer.encode("不好").tokens == ["[CLS]", "不", "好", "[SEP]"]

    @pytest.mark.parametrize(
        ("config", "is_lower"),
        [(None, False), ('{"do_lower_case": false}', False), ("{}", True), ("broken", False), ("[" * 100_000, False)],
    )
    def test_a_vocabulary_with_capital_words_is_cased_unless_its_folder_says_otherwise(
        self, tmp_path, config, is_lower
    ):
        (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "OK", "ok"]), encoding="utf-8")
        if config is not None:
            (tmp_path / "tokenizer_config.json").write_text(config, encoding="utf-8")
        tokens = load_tokenizer(tmp_path).encode("OK", add_special_tokens=False).tokens
        assert tokens == ["ok" if is_lower else "OK"]

    @pytest.mark.parametrize(
        ("pieces", "is_lower"), [(["[unused1]", "<S>", "[A]"], True), (["##K"], False), (["Ä"], True), (["K1"], False)]
    )
    def test_only_words_show_that_a_vocabulary_is_cased(self, tmp_path, pieces, is_lower):
        (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "ok", *pieces]), encoding="utf-8")
        tokens = load_tokenizer(tmp_path).encode("OK", add_special_tokens=False).tokens
        assert tokens == ["ok" if is_lower else UNKNOWN]

    def test_a_folder_without_a_tokenizer(self, tmp_path):
        with pytest.raises(InputError, match="contains neither tokenizer.json nor vocab.txt"):
            load_tokenizer(tmp_path)

    @pytest.mark.parametrize("name", ["nope/", "no such name", "../nope", "a/b/c"])
    def test_a_name_that_is_no_hub_id_is_refused_without_the_hub(self, name):
        with pytest.raises(InputError, match="no such file or folder; set --tokenizer to own, a tokenizer.json"):
            load_tokenizer(name)


class TestRenumbering:
    def test_the_kept_tokens_get_their_new_ids_and_the_others_are_unknown(self, tokenizer):
        kept = [tokenizer.token_to_id(token) for token in (*SPECIAL_TOKENS, "好")]
        fewer = renumbered(tokenizer, kept)
        assert fewer.get_vocab() == {token: index for index, token in enumerate((*SPECIAL_TOKENS, "好"))}
        assert fewer.encode("好不好").tokens[:2] == ["[CLS]", "好"]
        assert fewer.token_to_id(UNKNOWN) in fewer.encode("不").ids

    def test_all_tokens_in_their_order_change_nothing(self, tokenizer):
        same = renumbered(tokenizer, range(tokenizer.get_vocab_size()))
        assert same.get_vocab() == tokenizer.get_vocab()
        assert ids_of(same, "不好，wifi 100") == ids_of(tokenizer, "不好，wifi 100")

    def test_other_kinds_of_tokenizers_are_refused(self):
        described = json.loads(wordpiece_tokenizer(WORDPIECES).to_str())
        described["model"] = {"type": "WordLevel", "vocab": described["model"]["vocab"], "unk_token": UNKNOWN}
        with pytest.raises(InputError, match="a WordLevel tokenizer cannot be changed"):
            renumbered(tokenizer_from_json(json.dumps(described)), range(5))

    @pytest.mark.parametrize("kind", ["unigram", "wordpiece"])
    def test_padding_that_is_only_an_added_token_cannot_become_token_0(self, tmp_path, unigram, kind):
        tokenizer = unigram if kind == "unigram" else wordpiece_tokenizer(WORDPIECES)
        described = json.loads(tokenizer.to_str())
        pieces = sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)[1:]
        vocabulary = (
            [[piece, -1.0] for piece in pieces]
            if kind == "unigram"
            else {piece: number for number, piece in enumerate(pieces)}
        )
        described["model"] |= {"vocab": vocabulary} | ({"unk_id": 0} if kind == "unigram" else {})
        for number, token in enumerate(described["added_tokens"]):
            token["id"] = number - 1 if number else len(pieces)
        (tmp_path / "tokenizer.json").write_text(json.dumps(described | {"post_processor": None}), encoding="utf-8")
        with pytest.raises(InputError, match=r"tokenizer.json: \[PAD\] is only an added token, .* become token 0"):
            read_tokenizer(tmp_path)

    def test_special_tokens_above_the_pieces_of_a_model_stay_there(self, unigram):
        described = json.loads(unigram.to_str())
        [mask] = [token for token in described["added_tokens"] if token["content"] == "[MASK]"]
        del described["model"]["vocab"][mask["id"]]
        mask["id"] = len(described["model"]["vocab"])
        tokenizer = tokenizer_from_json(json.dumps(described | {"post_processor": None}))
        fewer = renumbered(tokenizer, [0, 1, 2, 3, tokenizer.token_to_id("好"), mask["id"]])
        assert fewer.get_vocab() == {PAD: 0, UNKNOWN: 1, "[CLS]": 2, "[SEP]": 3, "好": 4, "[MASK]": 5}

    def test_pieces_without_an_unknown_one_are_refused(self, unigram):
        described = json.loads(unigram.to_str())
        described["model"]["unk_id"] = None
        with pytest.raises(InputError, match=r"a.json: unk_id is null; set it to the id of \[UNK\]"):
            renumbered(tokenizer_from_json(json.dumps(described)), range(5), "a.json")


@pytest.mark.parametrize(("offline", "attempts"), [("1", 0), ("0", 1)])
def test_a_hub_out_of_reach_is_one_error_without_retries(tmp_path, offline, attempts):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": offline}
    with silent_server(resets=True) as (address, connections):
        finished = subprocess.run(
            [sys.executable, PROGRAM, "bert-base-chinese"],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=environment | {"HF_ENDPOINT": address},
            cwd=tmp_path,
        )
    assert len(connections) == attempts
    assert (finished.returncode, finished.stdout) == (1, "")
    [sentence] = finished.stderr.splitlines()
    assert sentence.startswith(
        "error: bert-base-chinese: no such file or folder, and the Hugging Face hub could not be"
    )
    assert "--tokenizer" in sentence
    assert "HF_ENDPOINT" in sentence


@pytest.fixture(scope="module")
def bert():
    from transformers import BertTokenizerFast

    return BertTokenizerFast


class TestAgainstTransformers:
    def test_a_saved_folder_is_tokenized_as_by_transformers(self, tmp_path, bert):
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

    @pytest.mark.parametrize(
        "options", [{"strip_accents": False}, {"do_lower_case": False, "strip_accents": True}, {"strip_accents": None}]
    )
    @pytest.mark.parametrize("chinese", [True, False])
    def test_the_options_beside_a_vocabulary_are_those_of_transformers(self, tmp_path, bert, options, chinese):
        vocabulary = [*WORDPIECES, "é", "e", "E", "É", "好好"]
        options = options | {"tokenize_chinese_chars": chinese}
        (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(options), encoding="utf-8")
        theirs = bert(vocab={token: index for index, token in enumerate(vocabulary)}, **options)
        text = "é E É 好好不"
        assert load_tokenizer(tmp_path).encode(text).ids == theirs(text).input_ids

    def test_the_vocabulary_of_bert_base_chinese(self, shared_data, bert):
        path = shared_data / "vocab" / "bert-base-chinese-vocab.txt"
        theirs, ours = bert(vocab=str(path)), load_tokenizer(path)
        assert ours.get_vocab_size() == 21_128
        texts = read_labelled(shared_data / "hotel" / "ChnSentiCorp_htl_all.csv").texts
        texts = [text for text in texts[:: len(texts) // 500] if text][:500]
        assert len(texts) == 500
        expected = theirs(texts).input_ids
        assert [encoding.ids for encoding in ours.encode_batch(texts)] == expected
        assert ours.token_to_id(UNKNOWN) in np.concatenate(expected), (
            "the reviews contain characters that are not in the vocabulary"
        )


@pytest.fixture(scope="module")
def own():
    return load_tokenizer()


class TestOwnVocabulary:
    def test_number_of_entries(self, own):
        assert sorted(own.get_vocab().values()) == list(range(21_128))
        assert special_ids(own).tolist() == [0, 1, 2, 3, 4]

    def test_pieces_are_short_and_of_one_kind(self, own):
        assert_pieces_are_short_and_of_one_kind(own)

    def test_punctuation_and_frequent_characters_are_known(self, own):
        for character in "“”‘’…。！？很不好差":
            assert own.token_to_id(UNKNOWN) not in ids_of(own, character), character

    def test_the_sample_has_the_same_tokens_as_with_a_split_at_the_borders_first(self, own):
        split = split_at_borders(own)
        texts = read_labelled("sample").texts
        # In a run such as "zzz", two sequences of pieces are equally likely, and rounding chooses.
        assert [sorted(ids_of(own, text)) for text in texts] == [sorted(ids_of(split, text)) for text in texts]

    def test_hardly_a_token_of_the_sample_is_unknown(self, own):
        ids = np.concatenate([ids_of(own, text) for text in read_labelled("sample").texts])
        assert np.mean(ids == own.token_to_id(UNKNOWN)) <= 0.001
