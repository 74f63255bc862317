"""The contenders of `benchmarks.pretraining`: each prepares its rows, trains some steps, and prints its speed.

All have the sizes of `BertConfig`, no dropout, and the same number of rows per step. The first steps, which include the
compilation, are not measured. Texts are tokenised before the clock starts; masks are drawn while it runs.

- This project, as `training.masked_lm` does it: rows packed from the whole corpus, its own tokenizer, XLA.
- transformers: `BertForMaskedLM` on PyTorch in a plain loop, texts padded or truncated to one row
  each, `DataCollatorForLanguageModeling`, torch's AdamW, neither clipping nor a schedule.
- keras_hub: `BertMaskedLM` with XLA and the optimizer, loss and metric that its `compile` chooses, texts padded or
  truncated to one row each. Our `Masker` draws its masks, which costs less than its own preprocessor: in its favour.
"""

import argparse
import dataclasses
import json
import sys
import time
import warnings

import numpy as np
from tokenizers import Tokenizer

from system.command_line import exits_with_status
from system.errors import InputError
from system.libraries import quiet_imports, without_extras_of_keras

with quiet_imports(), without_extras_of_keras():
    import keras

    from network.backbone import BertConfig
    from network.bert import BertMaskedLM
    from text.corpus import iter_texts
    from text.packing.packed_rows import PackedRows
    from text.packing.packing import pack_corpus
    from text.tokens.masking import Masker
    from text.tokens.tokenizer import CLASSIFY, MASK, PAD, SEPARATE, UNKNOWN, load_tokenizer, special_ids
    from text.tokens.window_settings import WindowSettings
    from text.tokens.windows import encode_windows
    from training.engine.batches.epoch_batches import MaskedBatches
    from training.masked_lm import compile_for_pretraining, sampled_masked_lm

CONFIG = BertConfig(dropout_rate=0.0)
MASK_RATE = 0.15
LEARNING_RATE = 2e-3
SCHEDULED_STEPS = 10_000
WARM_UP_STEPS = 5


@dataclasses.dataclass(frozen=True)
class UnpackedTexts:
    """Texts in one row each, truncated where they are longer.

    Attributes:
        texts: one per row.
        tokenizer: the tokenizer of the rows.
        tokens: integers, (rows,), the number of tokens in each row.
        characters: integers, (rows,), the number of characters that these tokens cover.
    """

    texts: list[str]
    tokenizer: Tokenizer
    tokens: np.ndarray
    characters: np.ndarray


def measure_ours(settings: argparse.Namespace) -> dict[str, float]:
    """Measure the real tokens and the characters per second of this project."""
    tokenizer = _load_fitting_tokenizer(settings.tokenizer)
    packed = pack_corpus([settings.corpus], tokenizer, CONFIG.max_seq_len, settings.cache_folder).train
    input_ids = packed.input_ids[_draw(len(packed.input_ids), settings)]
    batches = MaskedBatches(
        dataclasses.replace(packed, input_ids=input_ids),
        _masker(tokenizer),
        settings.batch_size,
        mask_seed=0,
        targets_as_input=True,
    )
    model = sampled_masked_lm(BertMaskedLM(CONFIG))
    compile_for_pretraining(model, LEARNING_RATE, SCHEDULED_STEPS)
    seconds = _seconds_of_fit(model, batches)
    not_from_text = [tokenizer.token_to_id(token) for token in (PAD, CLASSIFY, SEPARATE)]
    tokens = (~np.isin(input_ids, not_from_text)).sum(axis=1)
    return _speeds(tokens, tokens * packed.characters_per_token, seconds, settings)


def measure_transformers(settings: argparse.Namespace) -> dict[str, float]:
    """Measure the real tokens and the characters per second of transformers on PyTorch."""
    with quiet_imports():
        import torch
        from transformers import BertConfig, BertForMaskedLM, DataCollatorForLanguageModeling, PreTrainedTokenizerFast

    unpacked = _unpacked_texts(settings)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=unpacked.tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=CLASSIFY,
        sep_token=SEPARATE,
        mask_token=MASK,
    )
    columns = tokenizer(
        unpacked.texts,
        padding="max_length",
        truncation=True,
        max_length=CONFIG.max_seq_len,
        return_special_tokens_mask=True,
    )
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASK_RATE)
    batches = torch.utils.data.DataLoader(rows, settings.batch_size, collate_fn=collator)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=CONFIG.vocab_size,
            hidden_size=CONFIG.d_model,
            num_hidden_layers=CONFIG.num_layers,
            num_attention_heads=CONFIG.num_heads,
            intermediate_size=CONFIG.dff,
            max_position_embeddings=CONFIG.max_seq_len,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    step_ends = []
    for batch in batches:
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
        step_ends.append(time.perf_counter())
    return _speeds(unpacked.tokens, unpacked.characters, _measured_seconds(step_ends), settings)


def measure_keras_hub(settings: argparse.Namespace) -> dict[str, float]:
    """Measure the real tokens and the characters per second of keras_hub on TensorFlow."""
    with quiet_imports():
        import keras_hub

    class KerasHubBatches(MaskedBatches):
        """The batches of this project under the input names of keras_hub."""

        def batch(self, rows: np.ndarray, number: int) -> tuple[dict, np.ndarray, np.ndarray]:
            inputs, targets, weights = super().batch(rows, number)
            renamed = {
                "token_ids": inputs["input_ids"],
                "segment_ids": inputs["token_type_ids"],
                "padding_mask": inputs["input_ids"] != 0,
                "mask_positions": inputs["masked_positions"],
            }
            return renamed, targets, weights

    unpacked = _unpacked_texts(settings)
    input_ids = encode_windows(
        unpacked.tokenizer, unpacked.texts, CONFIG.max_seq_len, WindowSettings(max_windows=1)
    ).input_ids
    rows = PackedRows(input_ids, None, len(input_ids), unpacked.characters.sum(), unpacked.tokens.sum())
    batches = KerasHubBatches(rows, _masker(unpacked.tokenizer), settings.batch_size, mask_seed=0)
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=CONFIG.vocab_size,
        num_layers=CONFIG.num_layers,
        num_heads=CONFIG.num_heads,
        hidden_dim=CONFIG.d_model,
        intermediate_dim=CONFIG.dff,
        dropout=0.0,
        max_sequence_length=CONFIG.max_seq_len,
    )
    model = keras_hub.models.BertMaskedLM(backbone)
    model.compile(jit_compile=True)
    # This task does not train the pooling layer of the backbone.
    warnings.filterwarnings("ignore", "Gradients do not exist")
    return _speeds(unpacked.tokens, unpacked.characters, _seconds_of_fit(model, batches), settings)


MEASURES = {"this project": measure_ours, "transformers": measure_transformers, "keras_hub": measure_keras_hub}


def _unpacked_texts(settings: argparse.Namespace) -> UnpackedTexts:
    tokenizer = _load_fitting_tokenizer(settings.bert_vocabulary)
    texts = list(iter_texts([settings.corpus]))
    texts = [texts[index] for index in _draw(len(texts), settings)]
    # [CLS] and [SEP] take two positions of each row.
    kept = [
        encoding.offsets[: CONFIG.max_seq_len - 2]
        for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)
    ]
    characters = np.array([offsets[-1][1] if offsets else 0 for offsets in kept])
    return UnpackedTexts(texts, tokenizer, np.array([len(offsets) for offsets in kept]), characters)


def _load_fitting_tokenizer(source: str) -> Tokenizer:
    tokenizer = load_tokenizer(source)
    if tokenizer.get_vocab_size() > CONFIG.vocab_size:
        raise InputError(
            f"{source}: {tokenizer.get_vocab_size():,} entries, more than the {CONFIG.vocab_size:,} of the models; "
            "choose a smaller vocabulary"
        )
    return tokenizer


def _masker(tokenizer: Tokenizer) -> Masker:
    special = special_ids(tokenizer)
    return Masker(tokenizer.get_vocab_size(), special, tokenizer.token_to_id(MASK), CONFIG.max_seq_len, MASK_RATE)


def _draw(count: int, settings: argparse.Namespace) -> np.ndarray:
    """Return the indices of the rows of a turn, of `count` rows in random order; repeated where a turn needs more."""
    order = np.random.default_rng(0).permutation(count)
    return np.resize(order, (WARM_UP_STEPS + settings.steps) * settings.batch_size)


def _seconds_of_fit(model: keras.Model, batches: MaskedBatches) -> float:
    step_ends = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: step_ends.append(time.perf_counter())
    )
    # Keras' own `fit`: that of keras_hub accepts no `PyDataset`, and only adds the preparation of text, done already.
    # Not shuffled, so that the rows of the measured steps are known.
    keras.Model.fit(model, batches, shuffle=False, verbose=0, callbacks=[callback])
    return _measured_seconds(step_ends)


def _measured_seconds(step_ends: list[float]) -> float:
    return step_ends[-1] - step_ends[WARM_UP_STEPS - 1]


def _speeds(
    tokens: np.ndarray, characters: np.ndarray, seconds: float, settings: argparse.Namespace
) -> dict[str, float]:
    """Return the tokens and characters per second of the measured steps.

    Args:
        tokens: (rows,), of all steps, the warm-up included.
        characters: the same.
        seconds: the duration of the measured steps.
    """
    first = WARM_UP_STEPS * settings.batch_size
    return {
        "tokens": float(tokens[first:].sum() / seconds),
        "characters": float(characters[first:].sum() / seconds),
    }


@exits_with_status
def main(argv: list[str] | None = None) -> None:
    name, settings = sys.argv[1:] if argv is None else argv
    print(json.dumps(MEASURES[name](argparse.Namespace(**json.loads(settings)))))


if __name__ == "__main__":
    sys.exit(main())
