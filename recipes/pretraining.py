"""A whole pre-training: from a corpus to a model, its metrics and its learning curves."""

import dataclasses
import itertools
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import keras
import numpy as np
from tokenizers import Tokenizer

from evaluation.report.plots import plot_training_curves
from evaluation.report.terminal import write_metrics
from network.backbone import AS_IN_BERT, BertConfig
from network.bert import BertMaskedLM
from network.model_file import save_model
from network.pretrained import with_next_sentence
from recipes.runs.pruning import cut_vocabulary
from recipes.runs.run_data import masker_of, pack
from recipes.runs.run_folder import CHECKPOINT_NAME, environment, finish_run, previous_model_remark, run_in_folder
from recipes.runs.starting_models import read_and_describe
from system.errors import InputError
from text.corpus import iter_texts
from text.packing.packed_rows import PackedCorpus
from text.sources import source_name
from text.tokens.tokenizer import CLASSIFY, MASK, SEPARATE, load_tokenizer, special_ids, tokenizer_from_json
from training.engine.checkpoint import Checkpoint
from training.engine.distribution.processes import goes_on_alone, joined, main_first
from training.engine.loop import History
from training.engine.precision import global_precision
from training.masked_lm import pretrain
from training.plans.pretraining import PretrainingPlan

CURVES_NAME, METRICS_NAME = "pretraining_curves.png", "metrics.json"
HELD_OUT_METRICS = ("loss", "perplexity", "masked_accuracy", "next_sentence_accuracy")
BLANK = "＿"
SENTENCES = (
    "房间很＿，下次还会来。",
    "服务态度＿，再也不会来了！",
    "早餐的品种很＿，味道也不错。",
    "隔音很＿，一晚上都没睡好。",
)


@dataclasses.dataclass(frozen=True)
class PretrainingResult:
    """The results of a pre-training.

    Attributes:
        model: the trained model.
        history: the metrics of each epoch.
    """

    model: BertMaskedLM
    history: History


def pre_train(plan: PretrainingPlan, typed: Mapping[str, object] | None = None) -> PretrainingResult | None:
    """Pre-train a model on a corpus, and write the model, learning curves, metrics.json and run.json.

    Args:
        plan: the settings. A resumed run uses those in the run.json of the interrupted one, except for its folder and
            its time limit.
        typed: the fields that the user set, with their values; a resumed run refuses one that differs.

    Returns:
        The result; None for a dry run, which stops before the training, and in all but one of several processes.

    Raises:
        InputError: the corpus, the tokenizer, the model or a folder cannot be used, or the loss became NaN or infinite.
    """
    with joined(plan.distributed), run_in_folder(dataclasses.asdict(plan.with_sizes()), typed or {}) as arguments:
        plan = PretrainingPlan(**arguments)
        with global_precision(plan.precision):
            return _pre_train(plan)


def _pre_train(plan: PretrainingPlan) -> PretrainingResult | None:
    keras.utils.set_random_seed(plan.seed)
    model = _load_or_build(plan)
    tokenizer = tokenizer_from_json(model.tokenizer_json)
    corpus = main_first(lambda: _pack(plan, model))
    require_rows(corpus, plan.corpus)
    print(f"model: {model.count_params():,} parameters, on {keras.backend.backend()}")
    if plan.dry_run:
        print(f"dry run: nothing was trained. The run would train this model and save it to {plan.output}.")
        return None
    run_folder = Path(plan.run_folder)
    started = time.monotonic()
    history = pretrain(
        model,
        corpus,
        masker_of(model, plan.mask_rate),
        plan,
        Checkpoint(run_folder / CHECKPOINT_NAME, plan.checkpoint_seconds, corpus.sha256, plan.checkpoint_steps),
        resume=plan.resume,
        after_epoch=lambda: print_filled_blanks(model, tokenizer),
    )
    if not goes_on_alone():
        return None
    model.metadata = _metrics(plan, corpus, history, seconds=time.monotonic() - started)
    previous = previous_model_remark(plan.output)
    save_model(model, plan.output)
    write_metrics(run_folder / METRICS_NAME, model.metadata | {"history": history})
    plot_training_curves(history, run_folder / CURVES_NAME)
    finish_run(plan.run_folder)
    print(f"Model saved to {plan.output}; {CURVES_NAME} and {METRICS_NAME} in {run_folder.resolve()}{previous}")
    return PretrainingResult(model, history)


def _pack(plan: PretrainingPlan, model: BertMaskedLM) -> PackedCorpus:
    return pack(
        plan.corpus,
        model,
        plan.cache_folder,
        exclude=plan.exclude,
        text_column=plan.text_column,
        held_out_fraction=plan.held_out_fraction,
        whole_words=plan.whole_words,
        next_sentence=plan.next_sentence,
        max_documents=plan.max_documents,
    )


def _load_or_build(plan: PretrainingPlan) -> BertMaskedLM:
    """Return the model to train: the one of `--pretrained`, or a new one."""
    if plan.pretrained:
        model = read_and_describe(plan.pretrained, BertMaskedLM, plan.max_seq_len)
        if plan.prune_vocab:
            model = cut_vocabulary(model, _vocabulary_texts(plan), plan.pretrained)
        return with_next_sentence(model) if plan.next_sentence and not model.next_sentence else model
    tokenizer = load_tokenizer(plan.tokenizer)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_seq_len=plan.max_seq_len or BertConfig.max_seq_len,
        dropout_rate=plan.dropout_rate,
        **plan.sizes,
        **(AS_IN_BERT if plan.post_norm else {}),
    )
    return BertMaskedLM(config, tokenizer.to_str(), next_sentence=plan.next_sentence)


def _vocabulary_texts(plan: PretrainingPlan) -> Iterator[str]:
    """Return the texts that `--prune-vocab` cuts the vocabulary to: those of the corpus, and those of its own sources.

    Raises:
        InputError: see `text.corpus.iter_texts`.
    """
    corpus = iter_texts(plan.corpus, plan.text_column, plan.exclude)
    others = iter_texts(plan.prune_vocab, plan.text_column, plan.exclude, or_usual=True, option="--prune-vocab")
    return itertools.chain(itertools.islice(corpus, plan.max_documents), others)


def require_rows(corpus: PackedCorpus, sources: list[str]) -> None:
    """Require rows to train on and rows to hold out, with pairs of texts in both where rows are pairs.

    Raises:
        InputError: there are none.
    """
    train, held_out = corpus.train, corpus.held_out
    if not (len(train.input_ids) and len(held_out.input_ids)):
        raise InputError(
            f"{', '.join(sources)}: too little text ({train.documents + held_out.documents} documents) to split into "
            "training and held-out rows; add text, or choose another --held-out-fraction"
        )
    if train.pairs is not None and not (train.num_pairs and held_out.num_pairs):
        raise InputError(
            f"{', '.join(sources)}: too few documents of several sentences for training and held-out pairs "
            f"({train.num_pairs} and {held_out.num_pairs}); add text, or leave out --next-sentence"
        )


def _metrics(plan: PretrainingPlan, corpus: PackedCorpus, history: History, seconds: float) -> dict:
    """Return the metadata of the model file, which metrics.json repeats."""
    return {
        "corpus": {
            "sources": [source_name(source) for source in plan.corpus],
            "sha256": corpus.sha256,
            "documents": corpus.train.documents,
            "characters": corpus.train.characters,
            "tokens": corpus.train.tokens,
        },
        "epochs": len(history["loss"]),
        "seconds": round(seconds, 1),
        "held_out": {name: history[f"val_{name}"][-1] for name in HELD_OUT_METRICS if f"val_{name}" in history},
    } | environment()


def fill_blank(model: BertMaskedLM, tokenizer: Tokenizer, sentence: str, count: int = 3) -> list[tuple[str, float]]:
    """Return the `count` most probable tokens for a blank, each with its probability.

    Args:
        sentence: has one blank, "＿"; where it is too long for the model, it is truncated at both ends.
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
    outputs = model(inputs, training=False)
    logits = keras.ops.convert_to_numpy(outputs["masked_lm"] if model.next_sentence else outputs)[0, 0]
    logits[special_ids(tokenizer)] = -np.inf
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    best = np.argsort(-probabilities)[:count]
    return [(tokenizer.id_to_token(int(token)), float(probabilities[token])) for token in best]


def print_filled_blanks(model: BertMaskedLM, tokenizer: Tokenizer) -> None:
    """Print the model's predictions for the blanks of a few sentences."""
    for sentence in SENTENCES:
        predictions = fill_blank(model, tokenizer, sentence)
        shown = "  ".join(f"{token} {probability:.0%}" for token, probability in predictions)
        print(f"  {sentence}  →  {shown}", flush=True)
