"""The README.md of an exported model: what it is, how to use it, its metrics, and where it came from."""

import re
from collections.abc import Iterable, Mapping

from network.bert import BertClassifier, BertModel
from network.metadata import Metadata
from system.output.markdown import markdown_table
from text.labels import LabelSet
from text.tokens.tokenizer import tokenizer_from_json
from text.tokens.window_settings import WindowSettings

TAG = "mini-bert"
CHINESE_CHARACTER = re.compile("[\u3400-\u9fff]")
SCORES = {
    "accuracy": "accuracy",
    "micro_f1": "micro-F1",
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "roc_auc": "ROC-AUC",
    "log_loss": "log-loss",
}
USE_CLASSIFIER = """\
```bash
pip install transformers torch
```

```python
from transformers import pipeline

classify = pipeline("text-classification", "{name}", top_k=None)
print(classify(["房间很干净。"], truncation=True))
```

A special token that is typed in a text, such as "[SEP]", is text."""
CALIBRATE = """\
The weights are those of the training, so these probabilities are not calibrated: mini-BERT divides the logits by the
temperature of the model, {temperature:.4g}, before it computes probabilities. Here:

```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer, model = (each.from_pretrained("{name}") for each in (AutoTokenizer, AutoModelForSequenceClassification))
with torch.no_grad():
    logits = model(**tokenizer(["房间很干净。"], truncation=True, padding=True, return_tensors="pt")).logits
print((logits / model.config.mini_bert["temperature"]).{function})
```"""
USE_MASKED_LM = """\
```bash
pip install transformers torch
```

```python
from transformers import pipeline

fill = pipeline("fill-mask", "{name}")
print(fill("房间很[MASK]净。"))
```

A "[MASK]" in a text is the mask, and other special tokens that are typed are special tokens too."""
USE_ONNX = """\
```bash
pip install numpy onnxruntime tokenizers
python example.py 房间很干净。
```

`example.py` is short, to copy from. It divides the logits by the temperature of the model,
{temperature:.4g}, so that its probabilities are calibrated. Labels, temperature, thresholds and windows are in the
metadata of `model.onnx`. A typed "[SEP]" is text."""
CONTINUE = """\
mini-BERT imports this folder bit for bit{kept}:

```bash
python fine_tuning.py --pretrained {name} --dataset labelled.csv
```"""


def bert_card(model: BertModel, name: str, architecture: str) -> str:
    """Return the card of a model that `transformers` loads.

    Args:
        model: a classifier or a pre-training model.
        name: the name of the folder.
        architecture: the class of `transformers` that loads it.
    """
    is_classifier = isinstance(model, BertClassifier)
    introduction = f"A BERT of {model.count_params():,} parameters, which `transformers` loads as `{architecture}`."
    if is_classifier:
        metadata = Metadata.from_json(model.metadata, "the model")
        function = "sigmoid()" if metadata.labels.multi_label else "softmax(-1)"
        use = [USE_CLASSIFIER.format(name=name)]
        if metadata.temperature != 1:
            use.append(CALIBRATE.format(name=name, temperature=metadata.temperature, function=function))
        sections = [*_labels(metadata), "## Use", *use, *_windows(metadata.windows, model.config.max_seq_len)]
        sections += [*_metrics(metadata.test, metadata.labels), *_data(metadata.data)]
    else:
        sections = ["## Use", USE_MASKED_LM.format(name=name), *_pretraining(model.metadata)]
    kept = ", with labels, temperature, thresholds and windows" if is_classifier else ""
    sections += ["## Training it further", CONTINUE.format(name=name, kept=kept)]
    task = "text-classification" if is_classifier else "fill-mask"
    values = {**_language(model), "library_name": "transformers", "pipeline_tag": task}
    return _card(name, [introduction, *sections], values)


def onnx_card(classifier: BertClassifier, name: str, reason: str) -> str:
    """Return the card of a classifier that `transformers` cannot load.

    Args:
        classifier: the classifier.
        name: the name of the folder.
        reason: why it cannot.
    """
    metadata = Metadata.from_json(classifier.metadata, "the model")
    sections = [
        f"A text classifier of {classifier.count_params():,} parameters, for ONNX Runtime.",
        f"It is no BERT as other programs know it: {reason}.",
        *_labels(metadata),
        "## Use",
        USE_ONNX.format(temperature=metadata.temperature),
        *_windows(metadata.windows, classifier.config.max_seq_len),
        "mini-BERT reads `model.onnx` too, and with it whole texts: `python application.py --model model.onnx`.",
        *_metrics(metadata.test, metadata.labels),
        *_data(metadata.data),
    ]
    values = {**_language(classifier), "library_name": "onnx", "pipeline_tag": "text-classification"}
    return _card(name, sections, values)


def _card(name: str, sections: Iterable[str], values: Mapping[str, str]) -> str:
    head = [*(f"{key}: {value}" for key, value in values.items()), "tags:", f"- {TAG}"]
    return "\n".join(["---", *head, "---", ""]) + "\n" + "\n\n".join([f"# {name}", *sections]) + "\n"


def _language(model: BertModel) -> dict[str, str]:
    """Return the language of a card: Chinese if most tokens are, else none, since an imported model may have any."""
    tokens = list(tokenizer_from_json(model.tokenizer_json).get_vocab())
    chinese = [token for token in tokens if CHINESE_CHARACTER.search(token)]
    return {"language": "zh"} if len(chinese) > len(tokens) / 2 else {}


def _labels(metadata: Metadata) -> list[str]:
    """Return the section about the labels and their thresholds."""
    labels = metadata.labels
    header, rows = ["label", "number"], [[name, str(index)] for index, name in enumerate(labels.names)]
    if labels.multi_label:
        header.append("threshold")
        rows = [[*row, f"{threshold:.4g}"] for row, threshold in zip(rows, metadata.threshold, strict=True)]
        rule = "A text has every label whose calibrated probability is at least its threshold: several, or none."
    elif labels.is_binary:
        threshold = f"{metadata.threshold:.4g}, which was chosen on the validation split"
        rule = f"A text is {labels.names[1]} if the calibrated probability of that is at least {threshold}."
        rule += f" `application.py` takes {labels.default_threshold:g}, unless it is started with `--threshold auto`."
    else:
        rule = "A text has the most probable label."
    return ["## Labels", markdown_table([header, *rows]), rule]


def _windows(windows: WindowSettings, max_seq_len: int) -> list[str]:
    """Return the section about texts that are longer than the network reads at once."""
    changed = [f"{name} {value}" for name, value in vars(windows).items() if value is not None]
    return [
        "## Long texts",
        f"The network reads at most {windows.window or max_seq_len} tokens at once, so the code above reads the "
        "beginning of a longer text. mini-BERT reads such a text in windows, and combines their logits before it "
        f"computes probabilities (settings: {', '.join(changed)}). Its answers may therefore differ for long texts.",
    ]


def _metrics(test: Mapping, labels: LabelSet) -> list[str]:
    """Return the section about the metrics on the test split, if the model has any."""
    by_threshold = test.get("thresholds", {"": test})
    tests = [(key, each) for key, each in by_threshold.items() if isinstance(each, Mapping)]
    names = [name for name in SCORES if any(_is_number(each.get(name)) for _, each in tests)]
    if not names:
        return []
    threshold = ["threshold"] if "thresholds" in test else []
    rows = [[*([key] if threshold else []), *(_number(each.get(name)) for name in names)] for key, each in tests]
    sections = ["## Metrics", markdown_table([[*threshold, *(SCORES[name] for name in names)], *rows])]
    counts = {each["count"] for _, each in tests if _is_number(each.get("count"))}
    counted = f"{counts.pop():,} texts of the test split" if len(counts) == 1 else "The test split"
    sections.append(f"{counted}, in windows, and with the temperature.")
    by_label = {name: test[name] for name in ("precision", "recall", "f1") if isinstance(test.get(name), Mapping)}
    if by_label:
        rows = [[label, *(_number(values.get(label)) for values in by_label.values())] for label in labels.names]
        sections.append(markdown_table([["label", *by_label], *rows]))
    return sections


def _data(data: Mapping) -> list[str]:
    """Return the section about the labelled texts of the training, if the model records them."""
    also = data.get("also", [])
    sets = [each for each in (data, *also) if isinstance(each, Mapping) and "name" in each]
    if not sets:
        return []
    header = ["data set", "rows", "test", "weight", "SHA-256 of texts and labels"]
    rows = [[str(each.get(key, "")) for key in ("name", "rows", "test", "weight", "sha256")] for each in sets]
    return ["## Training data", "Fine-tuned with mini-BERT on:", markdown_table([header, *rows])]


def _pretraining(metadata: Mapping) -> list[str]:
    """Return the sections about the corpus and the held-out text of a pre-training, if the model records them."""
    sections = []
    held_out, corpus = (metadata.get(name) for name in ("held_out", "corpus"))
    if isinstance(held_out, Mapping) and held_out:
        rows = [[name.replace("_", " "), _number(value)] for name, value in held_out.items()]
        sections += ["## Metrics", markdown_table([["on held-out text", "value"], *rows])]
    if isinstance(corpus, Mapping) and corpus:
        rows = [[name, ", ".join(value) if isinstance(value, list) else str(value)] for name, value in corpus.items()]
        sections += ["## Training data", "Pre-trained with mini-BERT on:", markdown_table([["corpus", ""], *rows])]
    return sections


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: object) -> str:
    return f"{value:.4g}" if _is_number(value) else "–"
