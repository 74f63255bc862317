"""Write a model as a folder that Hugging Face's `transformers` loads, or with an ONNX file if it cannot."""

import functools
import os
import shutil
from pathlib import Path

import onnx
from safetensors.numpy import save_file

from network.bert import BertClassifier, BertModel
from network.checkpoints.config_file import OWN_VALUES, config_values, label_values
from network.checkpoints.conversion import bert_tensors
from network.metadata import Metadata
from network.pretrained import read_pretrained
from serving.export.folders import README, TOKENIZER, is_export, portable_tokenizer
from serving.export.huggingface.model_card import TAG, bert_card, onnx_card
from serving.export.huggingface.tokenizer_files import write_json, write_tokenizer
from serving.export.onnx_file import onnx_model
from system.errors import InputError
from system.files import replace_folder_atomically, write_atomically

FILES = {
    README,
    TOKENIZER,
    "config.json",
    "example.py",
    "model.onnx",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "vocab.txt",
}
MARK = rf"---\n(?:(?!---\n).*\n)*- {TAG}\n"  # the tag, among the values at the beginning of the card


def export_huggingface(source: str | os.PathLike, folder: str | os.PathLike) -> list[str]:
    """Write a model as a folder.

    A model with the layers of BERT becomes a folder that `transformers` loads, with config.json, model.safetensors,
    the files of the tokenizer and a model card. Another classifier becomes model.onnx, tokenizer.json and a program
    that shows how to use them. The folder appears completely or not at all; an earlier export is kept as
    `NAME.previous`.

    Args:
        source: a model as `network.pretrained.read_pretrained` accepts it.
        folder: the folder to write.

    Returns:
        The lines to print: remarks about the model, where it is, and what can load it.

    Raises:
        InputError: the model cannot be loaded or exported.
        OutputError: the folder cannot be written, or contains other files than an earlier export.
    """
    model, remarks = read_pretrained(str(source), BertModel)
    reason = _not_standard(model)
    if reason and not isinstance(model, BertClassifier):
        raise InputError(f"{source}: {reason}. Only classifiers can be exported without")
    name = Path(os.path.realpath(folder)).name
    with replace_folder_atomically(folder, functools.partial(is_export, names=FILES, mark=MARK)) as temporary:
        if reason:
            _write_onnx(model, temporary)
            card = onnx_card(model, name, reason)
        else:
            _write_bert(model, temporary)
            card = bert_card(model, name, _architecture(model))
        with write_atomically(temporary / README) as file:
            file.write(card)
    if reason:
        return [*remarks, f"note: {reason}", f"Model saved to {folder}; example.py there shows how to use model.onnx"]
    return [*remarks, f"Model saved to {folder}; transformers loads it as {_architecture(model)}"]


def _not_standard(model: BertModel) -> str:
    """Return why `transformers` cannot load a model as a BERT; "" if it can."""
    if model.config.normalize_first:
        return (
            "the model normalises before its layers, and BERT after them, so transformers cannot load it; a model that "
            "was pre-trained with `pretrain.py --post-norm` is a BERT"
        )
    if isinstance(model, BertClassifier) and model.pooling != "pooler":
        return (
            f"the head of the model reads the {model.pooling} pooling, so transformers cannot load it; one that was "
            "fine-tuned with `--pooling pooler` is a BERT"
        )
    return ""


def _architecture(model: BertModel) -> str:
    """Return the class of `transformers` that loads a model."""
    if isinstance(model, BertClassifier):
        return "BertForSequenceClassification"
    return "BertForPreTraining" if model.next_sentence else "BertForMaskedLM"


def _write_bert(model: BertModel, folder: Path) -> None:
    """Write config.json, model.safetensors and the files of the tokenizer."""
    values = {"architectures": [_architecture(model)], "dtype": "float32", **config_values(model.config)}
    max_length, is_classifier = model.config.max_seq_len, isinstance(model, BertClassifier)
    if is_classifier:
        metadata = Metadata.from_json(model.metadata, "the model")
        max_length = metadata.windows.window or max_length
        values["classifier_dropout"] = model.head_dropout_rate
        values |= label_values(metadata)
    else:
        values[OWN_VALUES] = model.metadata
    write_json(folder / "config.json", values)
    # Without this entry `transformers` refuses the file; it says that kernels lie as in PyTorch.
    save_file(bert_tensors(model), weights := folder / "model.safetensors", metadata={"format": "pt"})
    weights.chmod((folder / "config.json").stat().st_mode)  # `save_file` lets no other user read the file
    write_tokenizer(model, folder, max_length=max_length, split_special_tokens=is_classifier)


def _write_onnx(classifier: BertClassifier, folder: Path) -> None:
    onnx.save(onnx_model(classifier), folder / "model.onnx")
    with write_atomically(folder / TOKENIZER) as file:
        file.write(portable_tokenizer(classifier).to_str(pretty=True))
    shutil.copyfile(Path(__file__).with_name("example.py"), folder / "example.py")
