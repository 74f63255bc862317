"""The models that a training starts from: the pre-trained one, and the new classifier on it."""

from network.bert import BertClassifier, BertMaskedLM, BertModel, classifier_from_pretrained, pooler_of
from network.pretrained import read_pretrained
from system.errors import InputError
from text.labels import LabelSet
from text.tokens.cleaning import with_cleaning
from text.tokens.tokenizer import tokenizer_from_json
from training.logistic_regression import Head
from training.plans.fine_tuning import FineTuningPlan


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
