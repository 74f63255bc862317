"""A pre-training: the rows that it needs, and its predictions for the blanks of a few sentences."""

import numpy as np
import pytest
from layer_checks import as_array
from tiny import sample_tokenizer
from tiny_models import masked_lm

from recipes.pretraining import BLANK, SENTENCES, fill_blank, print_filled_blanks, require_rows
from system.errors import InputError
from text.packing.packing import pack_corpus
from text.tokens.tokenizer import SPECIAL_TOKENS, special_ids

SENTENCE = f"房间很{BLANK}，下次还会来。"


@pytest.fixture(scope="module")
def tokenizer():
    return sample_tokenizer()


@pytest.fixture(scope="module")
def model():
    return masked_lm(max_seq_len=32)


def test_a_blank_has_the_most_probable_tokens_with_their_probabilities(model, tokenizer):
    predictions = fill_blank(model, tokenizer, SENTENCE, count=5)
    assert len(predictions) == 5
    probabilities = [probability for _, probability in predictions]
    assert probabilities == sorted(probabilities, reverse=True)
    assert not {token for token, _ in predictions} & set(SPECIAL_TOKENS)

    # The prediction of the model for a mask at the position of the blank, without the special tokens.
    before, after = (tokenizer.encode(part, add_special_tokens=False).tokens for part in SENTENCE.split(BLANK))
    ids = [tokenizer.token_to_id(token) for token in ("[CLS]", *before, "[MASK]", *after, "[SEP]")]
    input_ids = np.array([ids + [0] * (32 - len(ids))], "int32")
    inputs = {"input_ids": input_ids, "token_type_ids": 0 * input_ids}
    logits = as_array(model(inputs | {"masked_positions": np.array([[ids.index(4)]], "int32")}))[0, 0]
    assert tokenizer.id_to_token(4) == "[MASK]"
    ordinary = np.delete(np.arange(tokenizer.get_vocab_size()), special_ids(tokenizer))
    likelihoods = np.exp(logits[ordinary]) / np.exp(logits[ordinary]).sum()
    expected = dict(zip(ordinary, likelihoods, strict=True))
    best = sorted(expected, key=expected.get, reverse=True)[:5]
    assert [token for token, _ in predictions] == [tokenizer.id_to_token(int(token)) for token in best]
    assert probabilities == pytest.approx([expected[token] for token in best], rel=1e-4)


@pytest.mark.parametrize("max_seq_len", [3, 4, 6, 9])
def test_a_sentence_too_long_for_the_model_is_truncated(tokenizer, max_seq_len):
    model = masked_lm(max_seq_len=max_seq_len)
    for sentence in (SENTENCE, BLANK + "好" * 50, "好" * 50 + BLANK, BLANK):
        (_, probability), *_ = predictions = fill_blank(model, tokenizer, sentence)
        assert len(predictions) == 3
        assert 0 < probability <= 1


def test_each_sentence_is_printed_with_its_predictions(model, tokenizer, capsys):
    print_filled_blanks(model, tokenizer)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(SENTENCES)
    for sentence, line in zip(SENTENCES, lines, strict=True):
        assert sentence in line
        for token, probability in fill_blank(model, tokenizer, sentence):
            assert f"{token} {probability:.0%}" in line


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["只有一个"], {}, r"too little text \(1 documents\) .* add text, or choose another --held-out-fraction"),
        (["很好"] * 60, {}, "too little text"),
        ([f"{n}号" for n in range(60)], {"next_sentence": True}, "too few documents .* leave out --next-sentence"),
    ],
    ids=["one document", "copies", "no pairs"],
)
def test_rows_to_train_on_and_to_hold_out_are_needed(tmp_path, tokenizer, lines, options, message):
    source = tmp_path / "a.txt"
    source.write_text("\n".join(lines), encoding="utf-8")
    corpus = pack_corpus([str(source)], tokenizer, 32, tmp_path / "rows", held_out_fraction=0.3, **options)
    with pytest.raises(InputError, match=rf"a\.txt: {message}"):
        require_rows(corpus, [str(source)])
