"""The metadata of a model file: a round trip, and values that are refused."""

import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network.metadata import VERSION, Metadata, stamp_weights, weights_sha256
from system.errors import InputError
from text.labels import SENTIMENT, LabelSet
from text.tokens.window_settings import AGGREGATES, WindowSettings

METADATA = st.builds(
    Metadata,
    labels=st.sampled_from([SENTIMENT, LabelSet(("差", "好"))]),
    temperature=st.floats(0.01, 100),
    threshold=st.floats(0, 1),
    windows=st.builds(
        lambda limit, **others: WindowSettings(**others, **limit),
        window=st.none() | st.integers(3, 64),
        stride=st.none() | st.integers(1, 64),
        limit=st.dictionaries(st.sampled_from(["max_windows", "spread_windows"]), st.integers(1, 9), max_size=1),
        aggregate=st.sampled_from(AGGREGATES),
    ),
    data=st.dictionaries(st.text(), st.integers() | st.text()),
    test=st.dictionaries(st.text(), st.floats(0, 1)),
)


@given(metadata=METADATA)
def test_a_round_trip_through_json_changes_nothing(metadata):
    assert Metadata.from_json(json.loads(json.dumps(metadata.to_json())), "a.keras") == metadata


def test_a_file_without_metadata_has_the_defaults():
    assert Metadata.from_json({}, "a.keras") == Metadata()
    assert Metadata().version == VERSION


def test_a_file_without_a_version_is_read():
    older = {"labels": ["负面", "正面"], "temperature": 0.889, "threshold": 0.593, "windows": {"aggregate": "mean"}}
    metadata = Metadata.from_json(older, "a.keras")
    assert (metadata.labels, metadata.temperature, metadata.threshold) == (SENTIMENT, 0.889, 0.593)
    assert metadata.windows == WindowSettings(aggregate="mean")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("temperature", [-1, 0, float("nan"), float("inf"), 10**400, "1", None, True, [1]]),
        ("threshold", [-0.1, 1.1, float("nan"), "0.5", None, False]),
        ("labels", [None, "正面", ["正面"], ["正面", "正面"], ["负面", 1], [["负面"], "正面"], {"负面": 0}]),
        (
            "windows",
            [None, [], {"window": 0}, {"stride": "5"}, {"aggregate": "median"}, {"aggregate": []}, {"size": 3}],
        ),
        ("data", [None, 3]),
        ("test", ["good"]),
        ("version", [0, 2, "1", None]),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_file(name, values):
    for value in values:
        with pytest.raises(InputError, match=r"^a\.keras: the metadata of the model"):
            Metadata.from_json({name: value}, "a.keras")


@pytest.mark.parametrize("values", [None, [], "{}", 3])
def test_metadata_that_are_no_object_are_refused(values):
    with pytest.raises(InputError, match="not a JSON object"):
        Metadata.from_json(values, "a.keras")


class TestWeightsSha256:
    SHA256 = "0123456789abcdef" * 4

    def test_a_stamp_is_read_again(self, tmp_path):
        path = tmp_path / "a.keras"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", "{}")
        assert weights_sha256(path) is None
        for sha256 in ("f" * 64, self.SHA256):
            stamp_weights(path, sha256)
            assert weights_sha256(path) == sha256

    @pytest.mark.parametrize("content", [b"", b"x", b"PK" * 100])
    def test_a_file_without_a_stamp(self, tmp_path, content):
        (tmp_path / "a.keras").write_bytes(content)
        assert weights_sha256(tmp_path / "a.keras") is None

    def test_a_missing_file_is_refused(self, tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            weights_sha256(tmp_path / "a.keras")
