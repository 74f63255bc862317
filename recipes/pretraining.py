"""A whole pre-training."""

import keras
import numpy as np
from tokenizers import Tokenizer

from network.bert import BertMaskedLM
from text.tokens.tokenizer import CLASSIFY, MASK, SEPARATE, special_ids

BLANK = "＿"
SENTENCES = (
    "房间很＿，下次还会来。",
    "服务态度＿，再也不会来了！",
    "早餐的品种很＿，味道也不错。",
    "隔音很＿，一晚上都没睡好。",
)


def fill_blank(model: BertMaskedLM, tokenizer: Tokenizer, sentence: str, count: int = 3) -> list[tuple[str, float]]:
    """Returns the `count` likeliest tokens for the blank "＿" in `sentence`, each with its probability.

    Of a sentence that is too long for the model, its ends are left out.
    """
    before, after = (tokenizer.encode(part, add_special_tokens=False).ids for part in sentence.split(BLANK, maxsplit=1))
    room = model.config.max_seq_len - 3
    before = before[max(0, len(before) - room) :]
    after = after[: room - len(before)]
    classify, separate, mask = (tokenizer.token_to_id(token) for token in (CLASSIFY, SEPARATE, MASK))
    ids = [classify, *before, mask, *after, separate]
    input_ids = np.zeros((1, model.config.max_seq_len), np.int32)
    input_ids[0, : len(ids)] = ids
    inputs = {
        "input_ids": input_ids,
        "token_type_ids": np.zeros_like(input_ids),
        "masked_positions": np.array([[len(before) + 1]], np.int32),
    }
    logits = keras.ops.convert_to_numpy(model(inputs, training=False))[0, 0]
    logits[special_ids(tokenizer)] = -np.inf
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    best = np.argsort(-probabilities)[:count]
    return [(tokenizer.id_to_token(int(token)), float(probabilities[token])) for token in best]


def print_filled_blanks(model: BertMaskedLM, tokenizer: Tokenizer) -> None:
    """Prints the model's guesses for a few sentences."""
    for sentence in SENTENCES:
        guesses = "  ".join(f"{token} {share:.0%}" for token, share in fill_blank(model, tokenizer, sentence))
        print(f"  {sentence}  →  {guesses}", flush=True)
