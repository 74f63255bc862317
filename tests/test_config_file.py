"""The `config.json` of BERT checkpoints, read and written."""

import json

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

from network.backbone import AS_IN_BERT, BertConfig
from network.checkpoints.config_file import ACTIVATION_NAMES, config_values, label_values, read_config
from network.metadata import Metadata
from system.errors import InputError
from text.labels import LabelSet
from text.tokens.window_settings import WindowSettings

VALUES = {
    "vocab_size": 21128,
    "max_position_embeddings": 512,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "type_vocab_size": 2,
}


def write(folder, values, name="config.json"):
    (folder / name).write_text(json.dumps(values), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", ["config.json", "bert_config.json"])
def test_the_sizes_and_the_values_of_bert_where_the_file_says_nothing(tmp_path, name):
    assert read_config(write(tmp_path, VALUES, name)).config == BertConfig(
        vocab_size=21128, max_seq_len=512, d_model=768, num_layers=12, num_heads=12, dff=3072, **AS_IN_BERT
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"hidden_act": "relu"}, {"activation": "relu"}),
        ({"hidden_act": "gelu_new"}, {"activation": "gelu_tanh"}),
        ({"hidden_act": "gelu_pytorch_tanh"}, {"activation": "gelu_tanh"}),
        ({"layer_norm_eps": 1e-5}, {"epsilon": 1e-5}),
        ({"hidden_dropout_prob": 0.3}, {"dropout_rate": 0.3}),
        ({"type_vocab_size": 16}, {"type_vocab_size": 16}),
        ({"pad_token_id": 7, "model_type": "bert", "architectures": ["X"]}, {}),
    ],
)
def test_what_the_file_may_say(tmp_path, changes, expected):
    config = read_config(write(tmp_path, VALUES | changes)).config
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model_type": "roberta"}, "a roberta model; only BERT can be read"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"is_decoder": True}, "is_decoder is True"),
        ({"hidden_act": "silu"}, "the activation is 'silu'; only relu, gelu"),
        ({"hidden_size": 770}, "the sizes of the network are not possible"),
        ({"num_hidden_layers": 0}, "the sizes of the network are not possible"),
        ({"hidden_size": "wide"}, "a size of the network is not a number"),
        ({"hidden_size": None}, "a size of the network is not a number"),
        ({"hidden_size": float("inf")}, "a size of the network is not a number"),
        ({"layer_norm_eps": float("nan")}, "the sizes of the network are not possible"),
        ({"hidden_dropout_prob": 1}, "the sizes of the network are not possible"),
    ],
)
def test_another_network_is_refused(tmp_path, changes, problem):
    with pytest.raises(InputError, match=problem) as caught:
        read_config(write(tmp_path, VALUES | changes))
    assert str(tmp_path / "config.json") in str(caught.value)


@pytest.mark.parametrize("name", VALUES)
def test_a_size_that_is_missing(tmp_path, name):
    with pytest.raises(InputError, match=f"'{name}' is missing"):
        read_config(write(tmp_path, {key: value for key, value in VALUES.items() if key != name}))


@pytest.mark.parametrize(
    ("content", "problem"),
    [("{", "not a JSON file"), ("[" * 100_000, "not a JSON file"), ("[1]", "not a JSON object"), ("", "not a JSON")],
)
def test_a_damaged_file(tmp_path, content, problem):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=problem):
        read_config(tmp_path)


def test_a_folder_without_a_config(tmp_path):
    with pytest.raises(InputError, match=r"contains neither config.json nor bert_config.json"):
        read_config(tmp_path)


@given(
    st.dictionaries(
        st.sampled_from([*VALUES, "hidden_act", "layer_norm_eps", "is_decoder"]),
        st.none() | st.text() | st.floats() | st.lists(st.integers()),
    )
)
def test_any_value_is_read_or_refused(tmp_path_factory, changes):
    folder = write(tmp_path_factory.mktemp("config"), VALUES | changes)
    try:
        assert isinstance(read_config(folder).config, BertConfig)
    except InputError as error:
        assert str(folder) in str(error)


class TestWriting:
    @pytest.mark.parametrize("activation", ACTIVATION_NAMES)
    def test_is_read_as_it_was(self, tmp_path, activation):
        config = BertConfig(d_model=24, num_heads=3, **AS_IN_BERT | {"activation": activation, "epsilon": 1e-7})
        assert read_config(write(tmp_path, config_values(config))).config == config

    def test_transformers_knows_every_name(self):
        values = config_values(BertConfig(**AS_IN_BERT))
        known = transformers.BertConfig().to_dict()
        assert set(values) - {"position_embedding_type"} <= set(known)


class TestLabels:
    METADATA = Metadata(
        LabelSet(("差", "好")), temperature=1.5, threshold=0.6, windows=WindowSettings(stride=20), data={"name": "x"}
    )

    def test_what_this_project_wrote_comes_back(self, tmp_path):
        values = json.loads(json.dumps(VALUES | label_values(self.METADATA)))
        found = read_config(write(tmp_path, values)).classifier_metadata(2)
        assert Metadata.from_json(found, "file") == self.METADATA

    def test_names_in_the_order_of_their_numbers(self, tmp_path):
        names = {str(index): f"name {index}" for index in (10, 2, 1, 0, 3, 4, 5, 6, 7, 8, 9)}
        found = read_config(write(tmp_path, VALUES | {"id2label": names})).classifier_metadata(11)
        assert found == {"labels": [f"name {index}" for index in range(11)]}

    def test_several_labels_per_text(self, tmp_path):
        values = VALUES | {"id2label": {"0": "a", "1": "b"}, "problem_type": "multi_label_classification"}
        found = read_config(write(tmp_path, values)).classifier_metadata(2)
        assert found == {"labels": ["a", "b"], "multi_label": True}

    @pytest.mark.parametrize("names", [{"0": "a"}, {"0": "a", "1": "a"}, {"x": "a", "1": "b"}, ["a", "b"], 3])
    def test_names_that_cannot_be_used(self, tmp_path, names):
        config = read_config(write(tmp_path, VALUES | {"id2label": names}))
        with pytest.raises(InputError, match="id2label cannot be used"):
            config.classifier_metadata(2)

    @pytest.mark.parametrize(
        ("values", "problem"),
        [
            ({"architectures": ["BertForTokenClassification"]}, r"architectures is \['BertForTokenClassification'\]"),
            ({"architectures": ["BertForMultipleChoice"]}, "only 'BertForSequenceClassification' can be read"),
            ({"architectures": 3}, "architectures is 3"),
            ({"problem_type": "regression"}, "problem_type is 'regression'; only a classifier can be read"),
        ],
    )
    def test_what_is_not_a_classifier_of_texts_is_refused(self, tmp_path, values, problem):
        config = read_config(write(tmp_path, VALUES | values))
        with pytest.raises(InputError, match=problem) as caught:
            config.classifier_metadata(2)
        assert str(config.path) in str(caught.value)

    @pytest.mark.parametrize("architectures", [None, [], ["BertForSequenceClassification"]])
    def test_a_classifier_of_texts_is_read(self, tmp_path, architectures):
        config = read_config(write(tmp_path, VALUES | {"architectures": architectures}))
        assert config.classifier_metadata(2) == {"labels": ["LABEL_0", "LABEL_1"]}

    def test_metadata_that_cannot_be_used(self, tmp_path):
        config = read_config(write(tmp_path, VALUES | {"mini_bert": {"temperature": -1}}))
        with pytest.raises(InputError, match="temperature"):
            config.classifier_metadata(2)
