"""Windows: which tokens of a text they contain, and how their logits become those of the text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from system.errors import InputError
from text.tokens.tokenizer import SPECIAL_TOKENS, wordpiece_tokenizer
from text.tokens.window_settings import AGGREGATES, WindowSettings
from text.tokens.windows import encode_windows

CLASSIFY, SEPARATE = 2, 3
TOKENIZER = wordpiece_tokenizer([*SPECIAL_TOKENS, "好", "差", "不", "很"])
TEXTS = st.lists(st.text(st.sampled_from("好差不很嗯 "), max_size=40), max_size=6)


def ids_of(text):
    return TOKENIZER.encode(text, add_special_tokens=False).ids


def content(row):
    """Return the tokens between the two special tokens; check these and the padding."""
    ids = [token for token in row.tolist() if token]
    assert (ids[0], ids[-1]) == (CLASSIFY, SEPARATE)
    assert not row[len(ids) :].any()
    return ids[1:-1]


@given(texts=TEXTS, max_seq_len=st.integers(3, 12), max_windows=st.none() | st.integers(1, 4))
def test_windows_without_a_stride_are_side_by_side(texts, max_seq_len, max_windows):
    windows = encode_windows(TOKENIZER, iter(texts), max_seq_len, WindowSettings(max_windows=max_windows))
    capacity = max_seq_len - 2
    assert windows.input_ids.shape == (len(windows.text_index), max_seq_len)
    assert windows.input_ids.dtype == windows.text_index.dtype == np.int32
    assert (np.diff(windows.text_index) >= 0).all()
    for index, text in enumerate(texts):
        contents = [content(row) for row in windows.input_ids[windows.text_index == index]]
        ids = ids_of(text)
        needed = max(1, -(-len(ids) // capacity))
        assert len(contents) == min(needed, max_windows or needed)
        assert windows.is_truncated[index] == (len(contents) < needed)
        assert sum(contents, []) == ids[: len(contents) * capacity]
        assert all(len(tokens) == capacity for tokens in contents[:-1])
    assert windows.inputs.keys() == {"input_ids", "token_type_ids"}
    assert not windows.inputs["token_type_ids"].any()


@given(texts=TEXTS.filter(len), data=st.data())
def test_the_logit_of_a_text_is_the_mean_of_its_tokens(texts, data):
    windows = encode_windows(TOKENIZER, texts, 5, WindowSettings(aggregate="mean"))
    count = len(windows.text_index)
    logits = np.array(data.draw(st.lists(st.floats(-10, 10), min_size=count, max_size=count)))
    num_tokens = [max(len(content(row)), 1) for row in windows.input_ids]
    of_token, text_of_token = np.repeat(logits, num_tokens), np.repeat(windows.text_index, num_tokens)
    expected = [of_token[text_of_token == index].mean() for index in range(len(texts))]
    np.testing.assert_allclose(windows.document_logits(logits[:, None])[:, 0], expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(np.bincount(windows.text_index, windows.weights), 1, rtol=1e-6)


@given(texts=TEXTS, window=st.integers(3, 8), data=st.data(), max_windows=st.none() | st.integers(1, 4))
def test_windows_with_a_stride_overlap(texts, window, data, max_windows):
    stride = data.draw(st.integers(1, window - 2))
    settings = WindowSettings(window, stride, max_windows)
    windows = encode_windows(TOKENIZER, texts, 10, settings)
    assert windows.input_ids.shape[1] == 10
    for index, text in enumerate(texts):
        contents = [content(row) for row in windows.input_ids[windows.text_index == index]]
        ids = ids_of(text)
        spans = settings.spans(len(ids), window - 2)
        assert contents == [ids[start:end] for start, end in spans]
        starts = [start for start, _ in spans]
        assert starts[0] == 0
        assert all(0 < step <= stride for step in np.diff(starts))
        if len(ids) > window - 2:
            assert {len(tokens) for tokens in contents} == {window - 2}
        if max_windows is None:
            assert spans[-1][1] == len(ids)
            # No more windows than necessary.
            assert len(spans) == 1 + max(0, -(-(len(ids) - window + 2) // stride))
        else:
            assert len(spans) <= max_windows
        assert windows.is_truncated[index] == (spans[-1][1] < len(ids))


@given(texts=TEXTS, window=st.integers(3, 8), data=st.data(), spread_windows=st.integers(1, 5))
def test_spread_windows_are_at_equal_distances(texts, window, data, spread_windows):
    stride = data.draw(st.none() | st.integers(1, window - 2))
    every = WindowSettings(window, stride)
    settings = every.replaced({"spread_windows": spread_windows})
    for text in texts:
        ids, capacity = ids_of(text), window - 2
        spans, all_spans = (each.spans(len(ids), capacity) for each in (settings, every))
        if len(all_spans) <= spread_windows:
            assert spans == all_spans
            continue
        assert len(spans) == spread_windows
        assert spans[0][0] == 0 and {end - start for start, end in spans} == {capacity}
        if spread_windows > 1:
            assert spans[-1][1] == len(ids)
            steps = np.diff([start for start, _ in spans])
            assert steps.max() - steps.min() <= 1
            assert stride is not None or steps.min() >= capacity, "no overlap"
    windows = encode_windows(TOKENIZER, texts, 10, settings)
    assert [content(row) for row in windows.input_ids] == [
        ids[start:end] for ids in map(ids_of, texts) for start, end in settings.spans(len(ids), capacity=window - 2)
    ]


LIMITS = st.dictionaries(st.sampled_from(["max_windows", "spread_windows"]), st.integers(1, 4), max_size=1)


@given(texts=TEXTS, window=st.integers(3, 8), data=st.data(), limit=LIMITS)
def test_what_no_window_holds_is_counted(texts, window, data, limit):
    settings = WindowSettings(window, data.draw(st.none() | st.integers(1, window - 2)), **limit)
    windows = encode_windows(TOKENIZER, texts, 10, settings)
    num_unread = []
    for text in texts:
        is_read = np.zeros(len(ids_of(text)), bool)
        for start, end in settings.spans(len(is_read), window - 2):
            is_read[start:end] = True
        num_unread.append((~is_read).sum())
    assert windows.is_truncated.tolist() == [number > 0 for number in num_unread]
    num_tokens = sum(len(ids_of(text)) for text in texts)
    assert windows.unread_fraction == pytest.approx(sum(num_unread) / max(num_tokens, 1))


def test_spread_windows_are_weighted_by_their_number_among_those_read():
    windows = encode_windows(TOKENIZER, ["好" * 60, "差"], 5, WindowSettings(spread_windows=3))
    np.testing.assert_allclose(windows.weights, [6 / 11, 3 / 11, 2 / 11, 1], rtol=1e-6)


def test_a_window_may_be_shorter_than_the_model_reads():
    windows = encode_windows(TOKENIZER, ["好差不很好"], 8, WindowSettings(window=4))
    assert [content(row) for row in windows.input_ids] == [ids_of(text) for text in ("好差", "不很", "好")]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"window": 9}, "a window of 9 tokens is too long"), ({"stride": 7}, "a stride of 7 tokens would skip some")],
)
def test_settings_that_do_not_fit_the_model_are_refused(settings, problem):
    with pytest.raises(InputError, match=problem):
        encode_windows(TOKENIZER, ["好差"], 8, WindowSettings(**settings))


@given(values=st.lists(st.floats(-10, 10), min_size=6, max_size=6), aggregate=st.sampled_from(AGGREGATES))
def test_each_output_is_aggregated_on_its_own(values, aggregate):
    windows = encode_windows(TOKENIZER, ["好差不很好", "好"], 5, WindowSettings(aggregate=aggregate))
    logits = np.array(values).reshape(3, 2)
    first, second, third = logits
    expected = {
        # The first window has three tokens, the second has two.
        "harmonic": (3 * first + 2 * second / 2) / 4,
        "mean": (3 * first + 2 * second) / 5,
        "max": np.maximum(first, second),
        "logsumexp": np.log((3 * np.exp(first) + 2 * np.exp(second)) / 5),
    }[aggregate]
    np.testing.assert_allclose(windows.document_logits(logits), [expected, third], rtol=1e-6, atol=1e-6)


def test_features_are_averaged_with_the_same_weights():
    windows = encode_windows(TOKENIZER, ["好差不很", "好"], 4)
    features = np.array([[1.0, 2.0], [3.0, 6.0], [5.0, 5.0]])
    np.testing.assert_allclose(windows.mean(features), [[5 / 3, 10 / 3], [5.0, 5.0]], rtol=1e-6)


@given(logit=st.floats(width=32, allow_nan=False, allow_infinity=False), aggregate=st.sampled_from(AGGREGATES))
def test_the_logit_of_a_single_window_is_unchanged(logit, aggregate):
    windows = encode_windows(TOKENIZER, ["好", "差不很", "好"], 4, WindowSettings(aggregate=aggregate))
    logits = np.array([[logit], [0.1], [0.2], [logit]], np.float32)
    assert windows.document_logits(logits)[::2, 0].tolist() == [logit] * 2


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("logit", [-1e30, 1e30])
def test_large_logits_stay_finite(logit, aggregate):
    windows = encode_windows(TOKENIZER, ["好差不很"], 4, WindowSettings(aggregate=aggregate))
    assert windows.document_logits(np.full((2, 1), logit, np.float32))[0, 0] == pytest.approx(logit)


def test_no_texts_have_no_windows():
    windows = encode_windows(TOKENIZER, [], 4)
    assert windows.input_ids.shape == (0, 4)
    assert windows.document_logits(np.zeros((0, 3))).shape == (0, 3)
