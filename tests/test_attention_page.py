"""The HTML page of attention: complete in itself, escaped, with every number."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.explanation.attention import CAVEAT, Attention
from serving.explanation.attention_page import attention_page, save_page
from serving.prediction import Prediction
from system.errors import OutputError


def attention_of(tokens, text="房间很干净。", layers=2, heads=3, **fields):
    """Return random attention between the tokens."""
    generator, length = np.random.default_rng(0), len(tokens)
    weights = generator.dirichlet(np.ones(length), size=(layers, heads, length)).astype(np.float32)
    decision = "正面, probability of 正面 0.8000, confidence 0.8000"
    shares = generator.dirichlet(np.ones(length))
    prediction = Prediction(text, "正面", 0.8, 0.8)
    return Attention(prediction, decision, list(tokens), weights, shares, **{"pooling": "mean"} | fields)


class Page(HTMLParser):
    """The elements of a page, with their attributes and their texts."""

    VOID = ("meta",)

    def __init__(self, page):
        super().__init__()
        self.elements, self.open, self.texts = [], [], {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(dict(attrs).get("id") or tag)

    def handle_endtag(self, tag):
        self.open.pop()

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1] if self.open else None, []).append(data)

    @property
    def data(self):
        return json.loads("".join(self.texts["data"]))


MIXED = attention_of(["[CLS]", "房间", "很干净", "。", "[SEP]"])


def test_every_weight_is_in_the_page():
    data = Page(attention_page(MIXED)).data
    assert data["tokens"] == MIXED.tokens
    np.testing.assert_allclose(np.array(data["weights"]) / 1000, MIXED.weights, rtol=0, atol=5.1e-4)


def test_the_prediction_and_the_rollout_of_each_token_are_written():
    page = Page(attention_page(MIXED))
    assert page.texts["h1"] == [MIXED.decision]
    assert "房间很干净。" in page.texts["p"]
    assert [text for text in page.texts["li"] if text.strip()] == MIXED.tokens
    assert page.texts["small"] == [f"{share:.1%}" for share in MIXED.rollout]
    written = " ".join(part for parts in page.texts.values() for part in parts)
    assert CAVEAT in written and "Abnar and Zuidema, 2020" in written and "each would have 20.0%" in written


def test_every_layer_and_head_can_be_chosen():
    page = Page(attention_page(MIXED))
    assert [attributes["value"] for tag, attributes in page.elements if tag == "option"] == [
        *("0", "1"),
        *("mean", "0", "1", "2"),
    ]


def test_the_darkest_token_is_that_of_the_largest_share():
    page = Page(attention_page(MIXED))
    shades = [
        float(re.search(r"/ ([\d.]+)\)", attributes["style"])[1]) for tag, attributes in page.elements if tag == "li"
    ]
    np.testing.assert_allclose(shades, 0.75 * MIXED.rollout / MIXED.rollout.max(), rtol=0, atol=5.1e-4)


def test_nothing_is_loaded_from_elsewhere():
    page = attention_page(MIXED)
    assert "default-src 'none'" in page and "url(" not in page and "://" not in page and "import" not in page
    names = {name for _, attributes in Page(page).elements for name in attributes}
    assert names & {"src", "href", "action", "srcset", "data"} == set()


@pytest.mark.parametrize("pooling", ["max", "cls", "pooler"])
def test_the_pooling_is_named(pooling):
    words = {"max": "the maximum of each feature", "cls": "the vector of [CLS]", "pooler": "a dense layer"}[pooling]
    assert words in attention_page(attention_of(["[CLS]", "好", "[SEP]"], pooling=pooling))


def test_the_window_of_a_long_text_is_named():
    assert "Window 2 of 3" in attention_page(attention_of(["[CLS]", "好", "[SEP]"], window="Window 2 of 3"))
    assert "Window" not in attention_page(MIXED)


@given(
    st.lists(st.text(min_size=1) | st.sampled_from(["</script>", "<b>", "&amp;", "$x", "<!--"]), min_size=1, max_size=5)
)
def test_tokens_and_texts_are_text(pieces):
    attention = attention_of(["[CLS]", *pieces, "[SEP]"], text="".join(pieces))
    page, plain = (
        Page(attention_page(each)) for each in (attention, attention_of(["x"] * (len(pieces) + 2), text="x"))
    )
    assert page.data["tokens"] == attention.tokens
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]


def test_a_page_of_a_full_window_is_small():
    page = attention_page(attention_of(["[CLS]", *["不错"] * 62, "[SEP]"], heads=4))
    assert len(page.encode()) < 150_000


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    save_page(MIXED, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == attention_page(MIXED)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(OutputError, match="it is a folder"):
        save_page(MIXED, tmp_path)
