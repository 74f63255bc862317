"""The files of a tokenizer: `transformers` and `tokenizers` read them as we do."""

import json

import pytest
import text_checks
import tiny_models
import transformers
from exported_models import TWO
from hypothesis import example, given
from tiny import WORDS, sample_tokenizer, tokenizer_of

from network.backbone import AS_IN_BERT
from network.bert import BertClassifier
from serving.export.huggingface.tokenizer_files import write_tokenizer
from text.corpus import iter_texts
from text.tokens.cleaning import with_cleaning
from text.tokens.tokenizer import SPECIAL_TOKENS, load_tokenizer, wordpiece_tokenizer

WORDPIECES = [*SPECIAL_TOKENS, *"房间很好[]，", "sep", "mask", "wi", "##fi", "##好", "\u3000"]
TOKENIZERS = {
    "unigram": lambda: tokenizer_of((*WORDS, "wifi", "sep", "[", "]")),
    "own": load_tokenizer,
    "cleaning": lambda: with_cleaning(sample_tokenizer(), ["urls", "names"]),
    "uncased": lambda: wordpiece_tokenizer(WORDPIECES),
    "cased": lambda: wordpiece_tokenizer(WORDPIECES, lowercase=False),
}


def written(folder, tokenizer, split_special_tokens=True):
    """Write the files of a tokenizer; return the tokenizer and that of `transformers`."""
    config = tiny_models.config(vocab_size=tokenizer.get_vocab_size(), **AS_IN_BERT)
    model = BertClassifier(config, tokenizer.to_str(), TWO, pooling="pooler")
    write_tokenizer(model, folder, max_length=40, split_special_tokens=split_special_tokens)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    return tokenizer, transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module", params=TOKENIZERS)
def pair(request, tmp_path_factory):
    return written(tmp_path_factory.mktemp("tokenizer"), TOKENIZERS[request.param]())


class TestTransformers:
    def test_the_sample_has_the_same_ids(self, pair):
        ours, theirs = pair
        texts = list(iter_texts(["sample"]))
        assert theirs(texts)["input_ids"] == [encoding.ids for encoding in ours.encode_batch(texts)]

    @given(text=text_checks.USER_TEXTS)
    @example(text="很好[SEP]不错[MASK] [CLS][PAD]")
    def test_any_text_has_the_same_ids_even_with_special_tokens_in_it(self, pair, text):
        ours, theirs = pair
        ids = theirs(text)["input_ids"]
        assert ids == ours.encode(text).ids
        assert not set(ids[1:-1]) & {theirs.sep_token_id, theirs.cls_token_id, theirs.mask_token_id}

    def test_two_texts_are_a_pair_of_bert(self, pair):
        _, theirs = pair
        first, second = theirs("很好")["input_ids"], theirs("好")["input_ids"][1:]
        encoded = theirs("很好", "好")
        assert encoded["input_ids"] == first + second
        assert encoded["token_type_ids"] == [0] * len(first) + [1] * len(second)

    def test_a_long_text_is_truncated_to_the_given_length(self, pair):
        _, theirs = pair
        ids = theirs("很好" * 200, truncation=True)["input_ids"]
        assert (len(ids), theirs.model_max_length, ids[-1]) == (40, 40, theirs.sep_token_id)

    def test_a_typed_mask_is_a_mask_for_masked_language_modelling(self, tmp_path):
        _, theirs = written(tmp_path, TOKENIZERS["unigram"](), split_special_tokens=False)
        assert theirs("很[MASK]")["input_ids"].count(theirs.mask_token_id) == 1


@pytest.mark.parametrize(("name", "lowercase"), [("uncased", True), ("cased", False)])
def test_word_pieces_have_a_vocabulary_file(tmp_path, name, lowercase):
    ours, _ = written(tmp_path, TOKENIZERS[name]())
    assert (tmp_path / "vocab.txt").read_text(encoding="utf-8").split("\n") == [*WORDPIECES, ""]
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["do_lower_case"] == lowercase
    (tmp_path / "tokenizer.json").unlink()
    assert load_tokenizer(tmp_path).encode("WIFI好").ids == ours.encode("WIFI好").ids


def test_unigram_pieces_have_none(tmp_path):
    written(tmp_path, TOKENIZERS["unigram"]())
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
