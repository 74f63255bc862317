"""Random BERT models of `transformers`, saved as checkpoint folders that stand in for downloaded ones."""

from pathlib import Path

import numpy as np
import torch
import transformers

from text.tokens.tokenizer import SPECIAL_TOKENS

CHARACTERS = "房间很干净好差不大小服务态度早餐下次还来再也会味道一般快递太慢了喜欢讨厌贵便宜满意失望推荐避雷。，！？"
VOCABULARY = [*SPECIAL_TOKENS, *CHARACTERS, "wifi", "##s"]
SIZES = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    # Larger than BERT's, so that attention is far from even, and errors show.
    "initializer_range": 0.15,
}


def random_bert(kind: str = "BertForPreTraining", seed: int = 0, **values: object) -> transformers.PreTrainedModel:
    """Return a random model without dropout, of a class of `transformers`, with other values of its config."""
    torch.manual_seed(seed)
    config = transformers.BertConfig(**SIZES | values)
    model = getattr(transformers, kind)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and normalisations start at 0 and 1
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def save_vocabulary(folder: Path, vocabulary: list[str] = VOCABULARY) -> None:
    """Save a vocab.txt for the models of this file."""
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")


def save_checkpoint(folder: Path, model: transformers.PreTrainedModel | None = None) -> Path:
    """Save a model and its vocabulary as `transformers` does; return the folder."""
    (model or random_bert()).save_pretrained(folder)
    save_vocabulary(folder)
    return folder


def random_inputs(length: int, rows: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """Return token ids with padding in all rows but the first, and two segments."""
    generator = np.random.default_rng(seed)
    input_ids = generator.integers(5, len(VOCABULARY), (rows, length)).astype("int32")
    real = np.array([length, *generator.integers(3, length, rows - 1)])
    is_real = np.arange(length) < real[:, None]
    is_second = is_real & (np.arange(length) >= real[:, None] // 2)
    return {"input_ids": input_ids * is_real, "token_type_ids": is_second.astype("int32")}


def outputs_of(model: transformers.PreTrainedModel, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the outputs of a model of `transformers`, those that are tensors."""
    tensors = {name: torch.tensor(values.astype("int64")) for name, values in inputs.items()}
    with torch.no_grad():
        outputs = model(**tensors, attention_mask=(tensors["input_ids"] != 0).long(), output_hidden_states=True)
    return {name: value.numpy() for name, value in outputs.items() if torch.is_tensor(value)} | {
        "hidden_states": [state.numpy() for state in outputs.hidden_states]
    }
