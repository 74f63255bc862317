"""The training of a vocabulary: its size, its characters, its borders; and the tokens that texts need."""

import itertools
import json

import numpy as np
import pytest
import text_checks
from hypothesis import given
from hypothesis import strategies as st
from tiny import sample_tokenizer, tokenizer_of
from token_pieces import assert_pieces_are_short_and_of_one_kind, ids_of, pieces_of, split_at_borders

from system.errors import InputError
from text.tokens.tokenizer import SPECIAL_TOKENS, UNKNOWN, renumbered, special_ids, wordpiece_tokenizer
from text.tokens.vocabulary import needed_tokens, train_unigram

VOCAB_SIZE = 115
MIN_COUNT = 3
LINES = (
    "前台说：“没有房间了。”我说‘怎么会’……",
    "住了2晚，2016年7月18日的房价是398元，第3天退房。",
    "WiFi很慢，KTV太吵，hotel的wifi 100%不能用？",
    "离地铁站很近，走路5分钟就到，下次还会住这里！",
)
SUBJECTS, NOUNS = ("酒店的", "房间的", "这里的"), ("服务员", "早餐", "态度")
DEGREES, OPINIONS = ("也很", "真的不", "太"), ("好，", "差！", "干净。", "值398元")
TEXTS = [
    *map("".join, itertools.product(SUBJECTS, NOUNS, DEGREES, OPINIONS)),
    *LINES * MIN_COUNT,
    *("靐龘好靐", "靐龘不好"),
]


@pytest.fixture(scope="module")
def unigram():
    return train_unigram(lambda: iter(TEXTS), VOCAB_SIZE, min_count=MIN_COUNT)


class TestTrainUnigram:
    def test_the_vocabulary_has_exactly_the_requested_size(self, unigram):
        assert unigram.get_vocab_size() == VOCAB_SIZE
        assert sorted(unigram.get_vocab().values()) == list(range(VOCAB_SIZE))

    @pytest.mark.parametrize(
        ("vocab_size", "texts", "problem"),
        [
            (5000, TEXTS, "not 5,000: use more text, or reduce --vocab-size"),
            (20, TEXTS, "a vocabulary of 20 entries cannot be trained on these texts: .*not large enough"),
            (30, [], "vocabulary of 5 entries, not 30"),
            (30, ["  "], "vocabulary of 5 entries, not 30"),
        ],
    )
    def test_a_size_that_the_texts_cannot_yield_is_refused(self, vocab_size, texts, problem):
        with pytest.raises(InputError, match=problem):
            train_unigram(lambda: texts, vocab_size, min_count=MIN_COUNT)

    def test_an_error_in_reading_the_texts_is_passed_on(self):
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
        # "不，" and "3元" are frequent, but no entries: there are only 16 characters and the special tokens.
        pairs = list(itertools.product("早餐服务态度房间前台很好", repeat=2))
        texts = [f"{one}{middle}{other}" for one, other in pairs for middle in ("不，", "3元")]
        assert train_unigram(lambda: texts, 21).get_vocab_size() == 21
        with pytest.raises(InputError, match="vocabulary of 21 entries, not 22"):
            train_unigram(lambda: texts, 22)

    def test_a_rare_character_gets_no_entry(self, unigram):
        assert [piece for piece in pieces_of(unigram) if "龘" in piece] == []
        assert "靐" in unigram.get_vocab()
        assert ids_of(unigram, "龘") == [unigram.token_to_id(UNKNOWN)]

    def test_characters_are_counted_in_other_texts_if_given(self):
        trained = train_unigram(
            lambda: TEXTS, VOCAB_SIZE, min_count=MIN_COUNT, counted_texts=lambda: [*TEXTS, "鱻鱻鱻", "靐"]
        )
        # The first is in none of the texts that the vocabulary is trained on, the second is rare in them.
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

    def test_a_text_is_put_between_special_tokens(self, unigram):
        assert unigram.encode("好").ids == [2, *ids_of(unigram, "好"), 3]

    @given(data=st.data())
    def test_pieces_are_as_good_as_with_a_split_at_the_borders_first(self, unigram, data):
        pieces = st.sampled_from([*sorted(pieces_of(unigram)), " ", "\u3000", "\n", "\x00"])
        text = "".join(data.draw(st.lists(pieces)))
        model = json.loads(unigram.to_str())["model"]
        assert unigram.token_to_id(UNKNOWN) not in ids_of(unigram, text)

        def score(ids):
            return sum(model["vocab"][token][1] for token in ids)

        # The tokens may differ if two ways are equally likely, such as 好好 好 and 好 好好.
        assert score(ids_of(unigram, text)) == pytest.approx(score(ids_of(split_at_borders(unigram), text)))


class TestTextsOfATrainedVocabulary:
    """The same checks as of the small tokenizers in test_tokenizer.py."""

    @given(text=text_checks.PRINTABLE_ASCII)
    def test_full_width_characters_are_treated_like_half_width_ones(self, unigram, text):
        text_checks.assert_full_width_is_treated_like_half_width(unigram, text)

    @given(text=text_checks.ASCII)
    def test_case_makes_no_difference(self, unigram, text):
        text_checks.assert_case_makes_no_difference(unigram, text)

    @given(text=text_checks.USER_TEXTS)
    def test_special_tokens_that_a_user_types_are_text(self, unigram, text):
        text_checks.assert_no_special_token(unigram, text)

    @given(text=text_checks.USER_TEXTS)
    def test_saving_and_loading_changes_no_token(self, unigram, text):
        text_checks.assert_saving_and_loading_changes_no_token(unigram, text)

    @given(data=st.data())
    def test_decoding_returns_the_normalised_text_without_whitespace(self, unigram, data):
        text = data.draw(text_checks.known_texts(unigram))
        text_checks.assert_decoding_returns_the_normalised_text_without_whitespace(unigram, text)

    def test_a_file_with_borders_is_loaded_without(self, unigram):
        text_checks.assert_a_file_with_borders_is_loaded_without(unigram)

    def test_special_ids(self, unigram):
        text_checks.assert_special_ids_are_those_of_the_special_tokens(unigram)


# With "a", "##b" and "##c", but without "ab", the word "abc" would be known; "##bc" makes "xbc" known.
WORDPIECES = [*SPECIAL_TOKENS, "a", "ab", "##b", "##bc", "##d", "x", "##x", "好", "不", "，"]
WORDS = st.text("abcdxy好不很，[] ", max_size=12)


def kept_by(tokenizer, texts):
    """Return the tokens that some texts need, and the tokenizer that knows no others."""
    needed = needed_tokens(tokenizer, texts)
    return [tokenizer.id_to_token(int(token)) for token in needed.ids], renumbered(tokenizer, needed.ids)


def assert_tokenized_alike(tokenizer, texts):
    needed = needed_tokens(tokenizer, texts)
    fewer = renumbered(tokenizer, needed.ids)
    for text in texts:
        np.testing.assert_array_equal(needed.ids[fewer.encode(text).ids], tokenizer.encode(text).ids)


class TestNeededTokens:
    @given(texts=st.lists(WORDS | text_checks.USER_TEXTS))
    def test_the_texts_keep_their_wordpieces(self, texts):
        assert_tokenized_alike(wordpiece_tokenizer(WORDPIECES), texts)

    @given(texts=st.lists(WORDS | text_checks.USER_TEXTS))
    def test_the_texts_keep_their_unigram_pieces(self, unigram, texts):
        assert_tokenized_alike(unigram, texts)
        assert_tokenized_alike(sample_tokenizer(), texts)

    def test_only_the_tokens_of_the_texts_and_special_ones_remain(self):
        tokens, fewer = kept_by(wordpiece_tokenizer(WORDPIECES), ["不好", "不"])
        assert tokens == [*SPECIAL_TOKENS, "好", "不"]
        assert special_ids(fewer).tolist() == [0, 1, 2, 3, 4]
        assert ids_of(fewer, "，") == [fewer.token_to_id(UNKNOWN)]

    def test_a_word_that_is_unknown_as_a_whole_remains_so(self):
        tokenizer = wordpiece_tokenizer(WORDPIECES)
        assert tokenizer.encode("abc", add_special_tokens=False).tokens == [UNKNOWN]
        # Neither of the other words keeps "ab".
        tokens, fewer = kept_by(tokenizer, ["abc", "a", "xbc"])
        assert "ab" in tokens and "##d" not in tokens
        assert fewer.encode("abc", add_special_tokens=False).tokens == [UNKNOWN]

    def test_a_word_too_long_to_be_split_needs_no_token(self):
        tokens, _ = kept_by(wordpiece_tokenizer(WORDPIECES), ["a" + "x" * 100])
        assert tokens == list(SPECIAL_TOKENS)

    def test_all_characters_of_the_texts_that_are_unigram_pieces_remain(self):
        tokens, fewer = kept_by(tokenizer_of(("房间", "干净", "热情")), ["房间干净"])
        assert tokens == [*SPECIAL_TOKENS, "房间", "干净", *sorted("房间干净")]
        assert fewer.encode("房净", add_special_tokens=False).tokens == ["房", "净"]

    def test_the_fraction_of_unknown_tokens(self):
        tokenizer = wordpiece_tokenizer(WORDPIECES)
        assert needed_tokens(tokenizer, ["好很，", "不"]).unknown_fraction == 0.25
        assert needed_tokens(tokenizer, []).unknown_fraction == 0
