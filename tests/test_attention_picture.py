"""The picture of attention: every token, share and head in it, whatever fonts are installed."""

import dataclasses
import sys

import matplotlib.image
import numpy as np
import pytest
from matplotlib import font_manager

from serving.explanation.attention import Attention
from serving.explanation.attention_picture import save_picture
from serving.prediction import Prediction
from system.errors import InputError, OutputError
from system.output.fonts import font_families


@pytest.fixture(autouse=True)
def no_earlier_choice():
    font_families.cache_clear()
    yield
    font_families.cache_clear()


@pytest.fixture
def no_font_but_the_default(monkeypatch):
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [])


def attention_of(tokens, layers=2, heads=4, text="good $x$ text", label="good"):
    """Return random attention between the tokens; in English, which every font has."""
    generator, length = np.random.default_rng(0), len(tokens)
    weights = generator.dirichlet(np.ones(length), size=(layers, heads, length)).astype(np.float32)
    decision = f"{label}, probability of {label} 0.8000, confidence 0.8000"
    prediction = Prediction(text, label, 0.8, 0.8)
    return Attention(prediction, decision, list(tokens), weights, generator.dirichlet(np.ones(length)), "mean")


ENGLISH = attention_of(["[CLS]", "good", "$x$", "text", "[SEP]"])


def names(axes, axis):
    return [label.get_text() for label in getattr(axes, f"get_{axis}ticklabels")()]


def test_every_token_share_and_head_is_drawn(tmp_path):
    flow, *panels, scale = save_picture(ENGLISH, tmp_path / "a.png").axes
    assert names(flow, "x") == ENGLISH.tokens
    assert [text.get_text() for text in flow.texts] == [f"{share:.1%}" for share in ENGLISH.rollout]
    np.testing.assert_allclose([bar.get_height() for bar in flow.patches], ENGLISH.rollout)
    assert [panel.get_title() for panel in panels] == [
        f"Layer {layer}, head {head}" for layer in (1, 2) for head in (1, 2, 3, 4)
    ]
    for panel, weights in zip(panels, ENGLISH.weights.reshape(8, 5, 5), strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array(), weights)
        assert names(panel, "x") == names(panel, "y") == ENGLISH.tokens
    assert names(scale, "x")[0] == "0%" and names(scale, "x")[-1] == "100%"


def test_the_file_is_a_picture_with_the_prediction(tmp_path):
    attention = dataclasses.replace(ENGLISH, window="Window 1 of 2")
    figure = save_picture(attention, tmp_path / "a.png")
    assert figure.get_suptitle().splitlines() == [attention.decision, "good $x$ text", "Window 1 of 2"]
    notes = " ".join(figure.get_supxlabel().split())
    assert "That vector is the mean of all tokens." in notes and "not why the model chose the label" in notes
    pixels = matplotlib.image.imread(tmp_path / "a.png")
    assert min(pixels.shape[:2]) > 500 and len(np.unique(pixels[..., 0])) > 20
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_tokens_without_a_font_are_numbers(tmp_path, capsys, no_font_but_the_default):
    attention = attention_of(["[CLS]", "房间", "ok", "好", "[SEP]"], text="房间ok好", label="正面")
    figure = save_picture(attention, tmp_path / "a.png")
    for axes, axis in ((figure.axes[0], "x"), (figure.axes[1], "x"), (figure.axes[1], "y")):
        assert names(axes, axis) == ["[CLS]", "2", "ok", "4", "[SEP]"]
    assert figure.get_suptitle() == "confidence 0.8000"
    error = capsys.readouterr().err
    assert "shows numbers instead: 2 房间, 4 好; install a font" in error and "Glyph" not in error


def test_a_picture_with_every_font_says_nothing(tmp_path, capsys):
    save_picture(ENGLISH, tmp_path / "a.png")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("layers", "heads", "length"), [(1, 1, 3), (2, 4, 64), (1, 12, 64), (24, 16, 512)])
def test_no_size_is_too_large_or_too_small(tmp_path, layers, heads, length):
    attention = attention_of(["[CLS]", *["word"] * (length - 2), "[SEP]"], layers, heads)
    figure = save_picture(attention, tmp_path / "a.png")
    width, height = figure.get_size_inches()
    assert 8 < width < 35 and 4 < height < 35
    panel = figure.axes[1]
    points_per_token = 72 * height * panel.get_position().height / length
    first, second = panel.get_yticks()[:2]
    assert (second - first) * points_per_token >= panel.get_yticklabels()[0].get_size(), "names overlap"


def test_many_heads_are_drawn_as_the_mean_of_each_layer(tmp_path, capsys):
    attention = attention_of(["[CLS]", *["word"] * 10, "[SEP]"], layers=12, heads=12)
    figure = save_picture(attention, tmp_path / "a.png")
    _, *panels, _ = figure.axes
    assert [panel.get_title() for panel in panels] == [f"Layer {layer}, mean of the heads" for layer in range(1, 13)]
    for panel, mean in zip(panels, attention.weights.mean(axis=1), strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array(), mean)
    assert capsys.readouterr().err.startswith("note: more than 32 heads are too many for a picture, so it has the mean")


def test_matplotlib_is_needed(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match="a .png file needs matplotlib, which is not installed"):
        save_picture(ENGLISH, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="it is a folder"):
        save_picture(ENGLISH, tmp_path)
