"""What a training starts from: the pre-trained model, the splits, a packed corpus, a new classifier, the checkpoint."""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from network.bert import BertClassifier, BertMaskedLM, BertModel, classifier_from_pretrained, pooler_of
from network.pretrained import pretrained_sha256, pruned, read_pretrained
from recipes.run_folder import CHECKPOINT_NAME
from system.errors import InputError
from system.output.display import progress
from text.corpus import fingerprints, iter_texts
from text.dataset.labelled_texts import LabelledTexts
from text.dataset.splits import Split, Splits, load_splits, print_splits
from text.labels import LabelSet
from text.packing.packed_rows import PackedCorpus
from text.packing.packing import pack_corpus
from text.tokens.cleaning import cleanings_of, with_cleaning
from text.tokens.masking import Masker
from text.tokens.tokenizer import MASK, UNKNOWN, special_ids, tokenizer_from_json
from text.tokens.vocabulary import needed_tokens
from text.tokens.windows import encode_windows
from training.engine.checkpoint import Checkpoint
from training.logistic_regression import Head
from training.objectives.masked_rows import MaskedText
from training.plans.fine_tuning import FineTuningPlan
from training.plans.shared import CACHE_FOLDER, MASK_RATE

FEW_TO_TRAIN = 50  # with 30, TF-IDF is right in 0.64 of the reviews of apps and in 0.68 of those of goods
BYTES_PER_PARAMETER = 4


def read_and_describe(source: str, expected: type[BertModel], max_seq_len: int | None) -> BertModel:
    """Read the model of `--pretrained`, and print the remarks on it. See `network.pretrained.read_pretrained`."""
    model, remarks = read_pretrained(source, expected, max_seq_len)
    print(*remarks, sep="\n", end="\n" * bool(remarks), flush=True)
    return model


def load_pretrained(plan: FineTuningPlan) -> BertModel:
    """Load the pre-trained model, and let its tokenizer clean texts as `--clean` says.

    So the classifier and the model of `--backbone-output` clean texts as those of their training were cleaned.

    Raises:
        InputError: see `network.pretrained.read_pretrained`.
    """
    expected = BertMaskedLM if plan.backbone_output or plan.corpus else BertModel
    pretrained = read_and_describe(plan.pretrained, expected, plan.max_seq_len)
    if plan.clean:
        tokenizer = with_cleaning(tokenizer_from_json(pretrained.tokenizer_json), plan.clean)
        pretrained.tokenizer_asset.json = tokenizer.to_str()
    return pretrained


def pooling_of(plan: FineTuningPlan, pretrained: BertModel) -> str:
    """Return what the head shall read of a window: that of `--pooling`, or the pooler of BERT if there is one.

    The head for next sentences of a pre-norm model has a pooler too, but its mean is better.
    """
    is_used = isinstance(pretrained, BertClassifier) or not pretrained.config.normalize_first
    has_own = pooler_of(pretrained) is not None and is_used
    return plan.pooling or ("pooler" if has_own else "mean")


def load_data(plan: FineTuningPlan, pretrained: BertModel) -> tuple[BertModel, Splits]:
    """Load the splits of the data set, with the windows of the model's tokenizer, and print their sizes.

    Returns:
        The model, with the vocabulary that `--prune-vocab` leaves it, and the splits.

    Raises:
        InputError: the data cannot be used, does not fit `--threshold`, or the vocabulary cannot be cut.
    """
    tokenizer = tokenizer_from_json(pretrained.tokenizer_json, plan.pretrained, pretrained.config.vocab_size)
    splits = load_splits(plan, tokenizer, pretrained.config.max_seq_len)
    if plan.prune_vocab:
        pretrained, splits = prune_vocabulary(plan, pretrained, splits)
    print_splits(splits)
    if cleanings := cleanings_of(tokenizer):
        print(f"removed from every text: {', '.join(cleanings)}")
    if len(splits.train.texts) < FEW_TO_TRAIN:
        print(
            f"note: {len(splits.train.texts)} training texts are few. Expect little more than from the model that the "
            "training starts from; a classifier with the same labels is the best start (--pretrained)"
        )
    if plan.threshold is not None and not (splits.label_set.is_binary or splits.label_set.multi_label):
        count = len(splits.label_set.names)
        raise InputError(f"--threshold needs two labels or --multi-label, and {plan.dataset} has {count} labels")
    return pretrained, splits


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


def new_classifier(plan: FineTuningPlan, pretrained: BertModel, labels: LabelSet) -> BertClassifier:
    """Build the classifier to train: the backbone of the pre-trained model with a new head.

    Raises:
        InputError: the frozen network would have a random pooler.
    """
    if plan.pooling == "pooler" and plan.unfreeze == 0 and pooler_of(pretrained) is None:
        raise InputError(f"--pooling pooler: {plan.pretrained} has no pooler, and a new one needs --unfreeze")
    return classifier_from_pretrained(
        pretrained,
        plan.unfreeze,
        plan.dropout_rate,
        labels,
        pooling=pooling_of(plan, pretrained),
        head_dropout_rate=plan.head_dropout_rate,
    )


def new_layers(classifier: BertClassifier, pretrained: BertModel) -> list[str]:
    """Return the names of the layers besides the head for which the pre-trained model has no weights: a new pooler."""
    has_new_pooler = pooler_of(classifier) is not None and pooler_of(pretrained) is None
    return ["pooled_output"] if has_new_pooler else []


def kept_head(plan: FineTuningPlan, pretrained: BertModel, labels: LabelSet) -> Head | None:
    """Return the head of a pre-trained classifier with the same labels, in their order; None for any other model."""
    if not isinstance(pretrained, BertClassifier) or pretrained.pooling != pooling_of(plan, pretrained):
        return None
    known = pretrained.label_set
    if not labels.has_same_labels(known):
        return None
    kernel, bias = pretrained.get_layer("classification_output").get_weights()
    if labels.is_binary:
        sign = 1 if known == labels else -1
        return Head(sign * kernel, sign * bias)
    order = [known.names.index(name) for name in labels.names]
    return Head(kernel[:, order], bias[order])


def pack(sources: list[str], model: BertMaskedLM, cache_folder: str, **options: Any) -> PackedCorpus:
    """Pack a corpus into rows of the model's tokens, print its size and return it.

    Args:
        sources: sources of documents.
        model: its tokenizer makes the tokens, and it has the length of the rows.
        cache_folder: the folder of the cache.
        options: see `text.packing.packing.pack_corpus`.

    Raises:
        InputError: see `text.packing.packing.pack_corpus`.
    """
    tokenizer = tokenizer_from_json(model.tokenizer_json, vocab_size=model.config.vocab_size)
    corpus = pack_corpus(sources, tokenizer, model.config.max_seq_len, cache_folder, **options)
    for name, rows in (("training", corpus.train), ("held out", corpus.held_out)):
        print(
            f"{name}: {rows.documents:,} documents, {rows.characters:,} characters, {rows.tokens:,} tokens "
            f"({rows.characters_per_token:.2f} characters a token), {len(rows.input_ids):,} rows"
            + (f", {rows.num_pairs:,} of them pairs of texts" if rows.pairs is not None else "")
        )
    return corpus


def masker_of(model: BertMaskedLM, mask_rate: float) -> Masker:
    """Return what masks the tokens of a model.

    Args:
        model: the model.
        mask_rate: fraction of the tokens to mask.
    """
    tokenizer = tokenizer_from_json(model.tokenizer_json)
    mask_id = tokenizer.token_to_id(MASK)
    return Masker(model.config.vocab_size, special_ids(tokenizer), mask_id, model.config.max_seq_len, mask_rate)


def load_masked_text(plan: FineTuningPlan, pretrained: BertMaskedLM, splits: Splits) -> MaskedText:
    """Return the text of `--corpus`, to learn masked language modelling from.

    Texts of the validation and the test splits are left out, so that the network does not know them when it is tested.

    Raises:
        InputError: the corpus cannot be used, or no text remains.
    """
    print("masked language modelling:")
    corpus = pack(
        plan.corpus,
        pretrained,
        CACHE_FOLDER,
        exclude=plan.exclude,
        unwanted=splits.evaluated_texts,
        text_column=plan.text_column,
        or_usual=True,
    )
    if not len(corpus.train.input_ids):
        raise InputError(
            f"--corpus {' '.join(plan.corpus)}: too little text to train on, besides the texts to evaluate on or "
            "exclude; add text"
        )
    return MaskedText(pretrained, corpus, masker_of(pretrained, MASK_RATE))


def checkpoint_of(
    plan: FineTuningPlan, splits: Splits, distilled: Sequence[Split] = (), masked_text: MaskedText | None = None
) -> Checkpoint:
    """Return the checkpoint of the run, which can be resumed on the same data and the same pre-trained model alone."""
    distillation_data = []
    for split in distilled:
        distillation_data += [hashlib.sha256(split.targets.tobytes()).hexdigest(), *split.texts]
    distillation_data += [
        hashlib.sha256(split.soft_targets.tobytes()).hexdigest()
        for split in (splits.train, *distilled)
        if split.soft_targets is not None
    ]
    further = further_fingerprints(plan, [each.labelled for each in splits.further])
    corpus = [masked_text.corpus.sha256] if masked_text else []
    states = pretrained_sha256(plan.teachers[0], "--teachers") if plan.hidden_loss_weight is not None else []
    sha256 = data_sha256(splits.labelled, plan.pretrained, [*further, *distillation_data, *corpus, *states])
    return Checkpoint(Path(plan.run_folder, CHECKPOINT_NAME), plan.checkpoint_seconds, sha256, plan.checkpoint_steps)


def data_sha256(labelled: LabelledTexts, pretrained: str, other_data: Sequence[str] = ()) -> str:
    """Return a hash of the inputs of a run, in hexadecimal; a run is resumed only if it has not changed.

    Args:
        labelled: the data set.
        pretrained: the pre-trained model, as in `--pretrained`.
        other_data: what stands for further sets, see `further_fingerprints`, and the texts and the targets from the
            teachers.
    """
    # The groups are part of the splits, but not of the hash in a model file.
    data = [labelled.sha256, *(labelled.groups or ()), *pretrained_sha256(pretrained), *other_data]
    return hashlib.sha256("\n".join(data).encode()).hexdigest()


def further_fingerprints(plan: FineTuningPlan, further: Sequence[LabelledTexts]) -> list[str]:
    """Return what differs if the further sets, or the files of `--exclude` or `--prune-vocab`, are others."""
    of_sets = [f"{labelled.weight} {labelled.sha256}" for labelled in further]
    groups = [group for labelled in further for group in labelled.groups or ()]
    options = {"--exclude": plan.exclude, "--prune-vocab": plan.prune_vocab}
    files = [each for name, sources in options.items() for each in fingerprints(sources, name)]
    return [*of_sets, *groups, *files]
