"""The vocabulary of `--prune-vocab`: only the tokens that the texts of a run need."""

import dataclasses
import itertools
from collections.abc import Iterable

from tokenizers import Tokenizer

from network.bert import BertModel
from network.pretrained import pruned
from system.output.display import progress
from text.corpus import iter_texts
from text.dataset.splits import Split, Splits
from text.tokens.tokenizer import UNKNOWN, tokenizer_from_json
from text.tokens.vocabulary import needed_tokens
from text.tokens.windows import encode_windows
from training.plans.fine_tuning import FineTuningPlan

BYTES_PER_PARAMETER = 4


def prune_vocabulary(plan: FineTuningPlan, pretrained: BertModel, splits: Splits) -> tuple[BertModel, Splits]:
    """Cut the vocabulary to the tokens of the training split and of `--prune-vocab`, and print what that saves.

    Texts of the validation and the test splits are left out, so that the metrics are those of new texts.

    Returns:
        The model with the smaller vocabulary, and the splits with its windows.

    Raises:
        InputError: a source cannot be used, or the tokenizer is neither of WordPieces nor of Unigram pieces.
    """
    texts = iter_texts(
        plan.prune_vocab,
        plan.text_column,
        plan.exclude,
        unwanted=splits.evaluated_texts,
        or_usual=True,
        option="--prune-vocab",
    )
    smaller = cut_vocabulary(pretrained, itertools.chain(splits.train.texts, texts), plan.pretrained)
    before, after = (tokenizer_from_json(model.tokenizer_json) for model in (pretrained, smaller))
    changed = _with_windows(splits, plan, after, smaller.config.max_seq_len)
    unknown = [_unknown_fraction(tokenizer, each) for tokenizer, each in ((before, splits), (after, changed))]
    print(f"unknown tokens: {unknown[1]:.2%} of the validation split, {unknown[0]:.2%} before")
    return smaller, changed


def cut_vocabulary(model: BertModel, texts: Iterable[str], where: str) -> BertModel:
    """Return a model with the vocabulary cut to the tokens of texts, and print what that saves.

    Raises:
        InputError: see `network.pretrained.pruned`, which also describes `where`.
    """
    texts = progress(texts, "reading --prune-vocab", " texts")
    needed = needed_tokens(tokenizer_from_json(model.tokenizer_json), texts)
    smaller = pruned(model, needed.ids, where)
    parameters = [each.count_params() for each in (model, smaller)]
    megabytes = [count * BYTES_PER_PARAMETER / 1e6 for count in parameters]
    print(
        f"vocabulary: {len(needed.ids):,} of {model.config.vocab_size:,} tokens remain; the model has "
        f"{parameters[1]:,} parameters ({megabytes[1]:,.1f} MB), {parameters[0]:,} ({megabytes[0]:,.1f} MB) before\n"
        f"unknown tokens: {needed.unknown_fraction:.2%} of the texts that the vocabulary is cut to, as before"
    )
    return smaller


def _with_windows(splits: Splits, plan: FineTuningPlan, tokenizer: Tokenizer, max_seq_len: int) -> Splits:
    """Return the splits with the windows of another tokenizer."""

    def split(old: Split) -> Split:
        return dataclasses.replace(old, windows=encode_windows(tokenizer, old.texts, max_seq_len, plan.windows))

    further = tuple(dataclasses.replace(each, test=split(each.test)) for each in splits.further)
    train, validation, test = map(split, (splits.train, splits.validation, splits.test))
    return dataclasses.replace(splits, train=train, validation=validation, test=test, further=further)


def _unknown_fraction(tokenizer: Tokenizer, splits: Splits) -> float:
    """Return the fraction of the tokens of the validation split that are unknown."""
    windows = splits.validation.windows
    return (windows.input_ids == tokenizer.token_to_id(UNKNOWN)).sum() / max(windows.num_tokens.sum(), 1)
