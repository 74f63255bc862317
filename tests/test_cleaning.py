"""The cleaning of social media inside a tokenizer: what it removes, and what it leaves."""

import functools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import sample_tokenizer
from token_pieces import ids_of
from tokenizers import Tokenizer

from network.model_file import load_model, save_model
from serving.explanation.occlusion import explain
from serving.export.onnx_file import export_onnx
from serving.prediction import NOTHING_KNOWN
from serving.predictor import Predictor
from text.dataset.options import CLEANINGS
from text.tokens.cleaning import ALL, PATTERNS, cleaned_texts, cleanings_of, with_cleaning
from text.tokens.tokenizer import SPECIAL_TOKENS, tokenizer_from_json, wordpiece_tokenizer

PARTS = (
    "http://t.cn/A6",
    "www.",
    "@",
    "小王",
    "回复",
    "//@",
    "：",
    ":",
    "#",
    "＃",
    "[",
    "]",
    "笑cry",
    "很好",
    " ",
    "\n",
    "。",
    "a",
)
POSTS = st.lists(st.sampled_from(PARTS) | st.text(max_size=3)).map("".join)
KEPT, REMOVED = ("房间", "很好", "。", "服"), ("http://t.cn/a", "@小王 ", "#话题#", "[哈哈]", "回复@小李: ")
WORDPIECES = [*SPECIAL_TOKENS, "很", "好", "房", "间", "http", ":", "/"]


@functools.cache
def cleaning_tokenizer(*names):
    """Return a tokenizer with the named cleanings, or all of them."""
    return with_cleaning(sample_tokenizer(), names or [ALL])


def cleaned(text, *names):
    """Return a text after the named cleanings, or all of them, with whitespace as one space."""
    (result,) = cleaned_texts(cleaning_tokenizer(*names), [text])
    return " ".join(result.split())


def test_every_cleaning_is_an_option():
    assert sorted(PATTERNS) == sorted(CLEANINGS)


class TestPatterns:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("见http://t.cn/A6PqoMKY很好", "见 很好"),
            ("HTTPS://a.b/c?d=e&f=%20#part，好", "，好"),
            ("www.abc.com 好", "好"),
            ("好http://t.cn/abc//@小王:真的", "好 //@小王:真的"),
            ("好http://t.cn/abc#话题#", "好 #话题#"),
            ("http很好，www也好", "http很好，www也好"),
        ],
    )
    def test_urls(self, text, expected):
        assert cleaned(text, "urls") == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("@小王_01 你好", "你好"),
            ("谢谢＠Mr-Li，好", "谢谢 ，好"),
            ("回复@小王:好的", "好的"),
            ("好//@小王：真的//@小李 :假的", "好 真的 假的"),
            ("写信到 a.b@c.com", "写信到 a.b@c.com"),
            ("@ 什么", "@ 什么"),
        ],
    )
    def test_names(self, text, expected):
        assert cleaned(text, "names") == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("#早上好#今天很好", "今天很好"),
            ("好＃早上好＃ #一# #二#", "好"),
            ("第1#楼", "第1#楼"),
            ("##", "##"),
            ("#" + "好" * 41 + "#", "#" + "好" * 41 + "#"),
        ],
    )
    def test_hashtags(self, text, expected):
        assert cleaned(text, "hashtags") == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("我同意//@小王:真的吗？\n第二行//@小李:是", "我同意"),
            ("好 ／／ ＠小王：真的", "好"),
            ("//@小王:真的吗？//@小李:是", "//@小王:真的吗？"),
            ("http://a.b//c", "http://a.b//c"),
        ],
    )
    def test_reposts(self, text, expected):
        assert cleaned(text, "reposts") == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("太好了[哈哈][doge]", "太好了"),
            ("好［给力］", "好"),
            ("见[1]和[2020]", "见[1]和[2020]"),
            ("[一二三四五六七八九]", "[一二三四五六七八九]"),
            ("【视频】好", "【视频】好"),
            ("[]好[ ]", "[]好[ ]"),
        ],
    )
    def test_emoticons(self, text, expected):
        assert cleaned(text, "emoticons") == expected

    def test_all_together(self):
        text = "#早餐#回复@小王:很好[哈哈]见http://t.cn/a//@小李:转"
        assert cleaned(text) == "很好 见"

    @pytest.mark.parametrize(
        "part", [*PARTS, "//", "//@a:b", "#a", "[a", "@a", "http://", "http://a//", "http://!", "a b"]
    )
    def test_a_long_line_does_not_stop_it(self, part):
        """A pattern that tries all ways to match would take hours here."""
        text = part * (1_000_000 // len(part))
        assert len(cleaned(text)) <= len(text)

    @given(text=POSTS)
    def test_nothing_is_added(self, text):
        before, after = iter(text), cleaned(text)
        assert all(character in before for character in after if character != " "), "a subsequence of the text"

    @given(text=st.text(st.characters(exclude_characters="@＠#＃[［/／:.wW")))
    def test_other_texts_stay(self, text):
        assert cleaned_texts(cleaning_tokenizer(), [text]) == [text.strip()]


class TestTokenizer:
    @pytest.fixture(params=["unigram", "wordpiece", "no normalizer"])
    def tokenizer(self, request):
        if request.param == "unigram":
            return sample_tokenizer()
        tokenizer = wordpiece_tokenizer(WORDPIECES)
        if request.param == "no normalizer":
            return tokenizer_from_json(json.dumps(json.loads(tokenizer.to_str()) | {"normalizer": None}))
        return tokenizer

    def test_its_tokens_are_those_of_the_cleaned_text(self, tokenizer):
        text = "#早餐#房间http://t.cn/a很好"
        cleaning = with_cleaning(tokenizer, [ALL])
        assert ids_of(cleaning, text) == ids_of(tokenizer, " 房间 很好") != ids_of(tokenizer, text)
        assert ids_of(with_cleaning(tokenizer, ["hashtags"]), text) == ids_of(tokenizer, " 房间http://t.cn/a很好")

    def test_the_original_does_not_change(self, tokenizer):
        before = tokenizer.to_str()
        with_cleaning(tokenizer, [ALL])
        assert tokenizer.to_str() == before
        assert with_cleaning(tokenizer, []) is tokenizer

    def test_saving_keeps_it(self, tokenizer):
        cleaning = with_cleaning(tokenizer, ["urls"])
        loaded = tokenizer_from_json(cleaning.to_str())
        assert cleanings_of(loaded) == ["urls"]
        assert loaded.to_str() == cleaning.to_str()
        plain = Tokenizer.from_str(cleaning.to_str())  # as another program loads it
        assert plain.encode("见http://t.cn/a很好").tokens == cleaning.encode("见http://t.cn/a很好").tokens

    def test_twice_is_once(self, tokenizer):
        once = with_cleaning(tokenizer, ["urls", "names"])
        assert with_cleaning(once, ["names"]) is once
        more = with_cleaning(once, ["hashtags"])
        assert cleanings_of(more) == ["urls", "names", "hashtags"]
        assert more.to_str() == with_cleaning(tokenizer, ["hashtags", "names", "urls"]).to_str()
        assert cleanings_of(with_cleaning(more, [ALL])) == list(PATTERNS)

    def test_a_tokenizer_without_cleaning(self, tokenizer):
        assert cleanings_of(tokenizer) == []
        assert cleaned_texts(tokenizer, ["见http://t.cn/a"]) == ["见http://t.cn/a"]

    @given(parts=st.lists(st.sampled_from(KEPT) | st.sampled_from(REMOVED)))
    def test_offsets_are_those_of_the_original(self, parts):
        text = "".join(parts)
        encoding = cleaning_tokenizer().encode(text, add_special_tokens=False)
        words = [text[start:end] for start, end in encoding.offsets]
        assert words == encoding.tokens
        assert "".join(words) == "".join(part for part in parts if part in KEPT)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory, tiny_model):
    """A small model whose tokenizer cleans."""
    model, path = load_model(tiny_model), tmp_path_factory.mktemp("cleaning") / "cleaning.keras"
    model.tokenizer_asset.json = with_cleaning(tokenizer_from_json(model.tokenizer_json), [ALL]).to_str()
    save_model(model, path)
    export_onnx(path)
    return Predictor(path)


class TestPredictor:
    def test_it_predicts_as_for_the_cleaned_text(self, predictor):
        first, second = predictor.predict(["#早餐#房间http://t.cn/a很好[哈哈]", "房间很好"])
        assert first.probability == pytest.approx(second.probability, abs=1e-6)
        assert first.text == "#早餐#房间http://t.cn/a很好[哈哈]"

    def test_a_text_of_which_nothing_remains_is_unknown(self, predictor):
        (prediction,) = predictor.predict(["http://t.cn/a [哈哈]"])
        assert (prediction.label, prediction.problem) == (None, NOTHING_KNOWN)

    def test_it_reads_the_words_of_the_original(self, predictor):
        text = "#早餐#房间http://t.cn/a很好[哈哈]，服务热情"
        reading = predictor.read(text)
        words = [text[start:end] for start, end in reading.offsets]
        assert words == ["房间", "很好", "，", "服务", "热情"]

    def test_an_explanation_marks_the_words_of_the_original(self, predictor):
        text = "#早餐#房间http://t.cn/a很好[哈哈]，服务热情"
        explanation = explain(predictor, text)
        assert explanation.prediction.text == text
        assert all(text[word.start : word.end] == word.text for word in explanation.words)
        assert "房间" in {word.text for word in explanation.words}
        assert not any("http" in word.text or "哈" in word.text for word in explanation.words)
