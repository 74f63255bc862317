"""Files of texts with the probability of each label."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import application
from recipes.runs.distillation.soft_labels import read_soft_labels, save_soft_labels
from serving.predictor import Predictor
from system.errors import InputError
from text.labels import SENTIMENT, LabelSet


class TestSoftLabels:
    TOPICS = LabelSet(("体育", "财经", "科技"))

    @given(
        texts=st.lists(
            st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\r\n"), min_size=1),
            min_size=1,
            unique=True,
        ),
        seed=st.integers(0, 99),
    )
    def test_they_are_read_as_they_were_saved(self, tmp_path_factory, texts, seed):
        texts = [f"{number} {text}" for number, text in enumerate(texts)]
        path = str(tmp_path_factory.mktemp("soft") / "soft.csv")
        probabilities = np.random.default_rng(seed).dirichlet([1, 1, 1], len(texts))
        save_soft_labels(path, self.TOPICS, texts, probabilities)
        found, values = read_soft_labels(path, self.TOPICS, None, [])
        assert found == texts
        np.testing.assert_allclose(values, probabilities, atol=1e-6)

    def test_a_file_that_is_there_is_kept(self, tmp_path):
        for text in ("房间很好", "隔音差"):
            save_soft_labels(str(tmp_path / "soft.csv"), self.TOPICS, [text], np.full((1, 3), 1 / 3))
        kept = str(tmp_path / "soft.previous.csv")
        assert read_soft_labels(kept, self.TOPICS, None, [])[0] == ["房间很好"]

    def test_what_the_application_writes_can_be_learnt(self, tmp_path, tiny_emotions, tiny_model):
        Path(tmp_path, "texts.csv").write_text("review,id\n房间很好,1\n,2\n隔音差,3\n", encoding="utf-8")
        for model in (tiny_emotions, tiny_model):
            options = ["--model", str(model), "--file", str(tmp_path / "texts.csv"), "--all-probabilities"]
            assert application.main([*options, "--output", str(tmp_path / "scored.csv")]) == 0
            predictor = Predictor(model)
            texts, values = read_soft_labels(str(tmp_path / "scored.csv"), predictor.labels, None, [])
            assert texts == ["房间很好", "隔音差"]
            np.testing.assert_allclose(values, predictor.predict_proba(texts), atol=1e-4)

    def test_texts_to_evaluate_on_are_left_out(self, tmp_path):
        path = str(tmp_path / "soft.csv")
        save_soft_labels(path, self.TOPICS, ["房间很好", "隔音差"], np.full((2, 3), 1 / 3))
        assert read_soft_labels(path, self.TOPICS, None, ["房间，很好！"])[0] == ["隔音差"]

    def test_a_text_that_occurs_twice_has_the_mean_of_its_probabilities(self, tmp_path):
        path = str(tmp_path / "soft.csv")
        save_soft_labels(path, self.TOPICS, ["好", "差", "好"], np.array([[1, 0, 0], [0, 1, 0], [0.5, 0, 0.5]]))
        texts, values = read_soft_labels(path, self.TOPICS, None, [])
        assert texts == ["好", "差"] and values.dtype == np.float32
        np.testing.assert_allclose(values, [[0.75, 0, 0.25], [0, 1, 0]])

    def test_rows_without_a_text_or_a_prediction_are_left_out_and_counted(self, tmp_path, caplog):
        rows = [{"text": text, "probability_负面": 0.25, "probability_正面": 0.75} for text in ("好", "\ud800", " ", 3)]
        rows += [{"text": "差"}, {"probability_负面": 1, "probability_正面": 0}]
        lines = [*map(json.dumps, rows), "{"]
        Path(tmp_path, "soft.jsonl").write_text("\n".join(lines), encoding="utf-8")
        texts, values = read_soft_labels(str(tmp_path / "soft.jsonl"), SENTIMENT, None, [])
        assert texts == ["好"] and values.tolist() == [[0.25, 0.75]]
        (warning,) = caplog.messages
        assert warning.endswith("soft.jsonl: 6 rows left out, first: row 2: the text is not valid Unicode")

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ("好,0.5,0.5,0.5", "row 2: probability_体育, probability_财经, probability_科技 must be .*, 1 in total"),
            ("好,0.5,0.5,x", "row 2: .* must be probabilities"),
            ("好,1.5,-0.5,0", "row 2: .* must be probabilities"),
            ("好,,,", "no row has a text and probabilities"),
        ],
    )
    def test_what_is_no_probability_is_refused(self, tmp_path, rows, message):
        header = "text,probability_体育,probability_财经,probability_科技"
        Path(tmp_path, "soft.csv").write_text(f"{header}\n{rows}\n", encoding="utf-8")
        with pytest.raises(InputError, match=message):
            read_soft_labels(str(tmp_path / "soft.csv"), self.TOPICS, None, [])

    def test_a_column_for_each_label_is_needed(self, tmp_path):
        Path(tmp_path, "soft.csv").write_text("text,probability_体育\n好,1\n", encoding="utf-8")
        message = r"soft\.csv has no column probability_财经, probability_科技: --soft-labels needs a column for each"
        with pytest.raises(InputError, match=message):
            read_soft_labels(str(tmp_path / "soft.csv"), self.TOPICS, None, [])
