"""The HTML page of attention: complete in itself, escaped, with every number."""

import base64
import dataclasses
import hashlib
import itertools
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.explanation.attention import CAVEAT, Attention
from serving.explanation.attention_page import MOST_WEIGHTS, attention_page, save_page, shown_weights
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


def test_the_policy_allows_nothing_but_the_script_of_the_page():
    attention = attention_of(["[CLS]", "</script><script>", "<img src=x onerror=a>"], text='<a href="//b">"\'')
    elements = Page(attention_page(attention)).elements
    (policy,) = [fields["content"] for tag, fields in elements if fields.get("http-equiv") == "Content-Security-Policy"]
    default, style, image, script = policy.split("; ")
    assert (default, style, image) == ("default-src 'none'", "style-src 'unsafe-inline'", "img-src data:")
    data, run = [fields for tag, fields in elements if tag == "script"]
    assert (data["type"], run) == ("application/json", {})
    code = re.search("<script>(.*?)</script>", attention_page(attention), re.DOTALL)[1]
    assert script == f"script-src 'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
    names = {name for _, fields in elements for name in fields}
    assert not {"src", "href", "action", "srcset"} & names and not any(name.startswith("on") for name in names)


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


def even_attention(layers, heads, length):
    """Return attention that is the same between all tokens, in the memory of one number."""
    weights = np.broadcast_to(np.float32(1 / length), (layers, heads, length, length))
    tokens = ["[CLS]", *["不错"] * (length - 2), "[SEP]"]
    return dataclasses.replace(MIXED, tokens=tokens, weights=weights, rollout=np.full(length, 1 / length))


def options(page, select):
    """Return the values to choose from in a page."""
    start = page.elements.index(("select", {"id": select}))
    following = itertools.takewhile(lambda element: element[0] == "option", page.elements[start + 1 :])
    return [attributes["value"] for _, attributes in following]


def test_a_large_network_has_the_mean_of_its_heads(tmp_path, capsys):
    save_page(even_attention(12, 12, 200), tmp_path / "page.html")
    note = "5,760,000 weights are too many for a page, so it has the mean of the heads of each layer"
    assert capsys.readouterr() == ("", f"note: {note}\n")
    content = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(content)
    assert f"{note}." in page.texts["p"] and len(content) < 2 * MOST_WEIGHTS
    assert (len(options(page, "layer")), options(page, "head")) == (12, ["mean"])
    np.testing.assert_array_equal(np.array(page.data["weights"]), np.full((12, 1, 200, 200), 5))


def test_the_mean_is_that_of_the_heads(monkeypatch):
    monkeypatch.setattr("serving.explanation.attention_page.MOST_WEIGHTS", MIXED.weights.size - 1)
    means = MIXED.weights.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(np.array(Page(attention_page(MIXED)).data["weights"]) / 1000, means, atol=5.1e-4)


def test_the_grid_of_an_even_larger_network_has_the_first_tokens(tmp_path, capsys):
    attention = even_attention(24, 16, 512)
    save_page(attention, tmp_path / "page.html")
    _, cut = capsys.readouterr().err.splitlines()
    assert cut == (
        "note: 6,291,456 weights are too many for a grid, so it has the first 128 of 512 tokens, and its rows sum to "
        "less than 100%"
    )
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.data["tokens"] == attention.tokens[:128] and len(page.texts["small"]) == 512
    assert np.shape(page.data["weights"]) == (24, 1, 128, 128)


@pytest.mark.parametrize(
    ("shape", "has_heads", "num_tokens"),
    [
        ((2, 4, 64, 64), True, 64),
        ((12, 12, 166, 166), True, 166),
        ((12, 12, 512, 512), False, 512),
        ((16, 1, 500, 500), True, 500),
        ((17, 1, 500, 500), True, 128),
    ],
)
def test_what_is_shown_depends_on_the_number_of_weights(shape, has_heads, num_tokens):
    shown = shown_weights(shape)
    assert (shown.has_heads, shown.num_tokens) == (has_heads, num_tokens)
    assert len(shown.notes) == (not has_heads) + (num_tokens < shape[-1])


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    save_page(MIXED, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == attention_page(MIXED)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(OutputError, match="it is a folder"):
        save_page(MIXED, tmp_path)
