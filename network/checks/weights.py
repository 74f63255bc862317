"""The weights of a `.keras` file, an HDF5 file: what it says about its numbers, before any of them is read."""

import io
from collections.abc import Iterator

import h5py

from network.backbone import BertConfig
from network.checks.config import DescribedModel

OPTIMIZER = "optimizer"  # of a file that Keras itself wrote during training; it is not loaded
MAX_DEPTH = 16
# Groups and tables of a network without its encoders, and of each encoder; a file has about 25 and 35.
MAX_ENTRIES, MAX_ENTRIES_OF_ENCODER = 500, 200


def check_weights(content: bytes, model: DescribedModel) -> None:
    """Check that the file contains exactly the numbers that the network needs, all of them in the file itself.

    Args:
        content: the content of the file.
        model: the network.

    Raises:
        ValueError: it does not.
    """
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            tables = dict(_tables(file, MAX_ENTRIES + MAX_ENTRIES_OF_ENCODER * model.config.num_layers))
            found = sum(
                _checked_size(table, name)
                for name, table in tables.items()
                if table.dtype.kind == "f" and not name.startswith(f"/{OPTIMIZER}/")
            )
    except (OSError, RuntimeError, KeyError) as error:  # of a damaged file
        raise ValueError(f"its weights cannot be read ({error})") from None
    needed = num_parameters(model)
    if found != needed:
        raise ValueError(f"it has {found:,} weights, but a network of its sizes has {needed:,}")


def _tables(group: h5py.Group, most: int) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield the tables in a group and its groups, with their paths; the same group may lie in another one twice."""
    waiting, count = [("", group, 0)], 0
    while waiting:
        path, parent, depth = waiting.pop()
        for name in parent:
            count += 1
            if count > most or depth > MAX_DEPTH:
                raise ValueError("its weights have more parts than the network")
            if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"its weights are a link to elsewhere ({name[:80]!r})")
            child = parent[name]
            if isinstance(child, h5py.Group):
                waiting.append((f"{path}/{name}", child, depth + 1))
            elif isinstance(child, h5py.Dataset):
                yield f"{path}/{name}", child
            else:
                raise ValueError(f"its weights have a part of another kind ({name[:80]!r})")


def _checked_size(table: h5py.Dataset, name: str) -> int:
    """Return the number of values of a table, after checking that the file contains all of them as they are."""
    is_elsewhere = bool(table.external) or table.is_virtual
    if is_elsewhere or table.chunks is not None or table.id.get_storage_size() != table.size * table.dtype.itemsize:
        raise ValueError(f"its weights {name[:80]!r} are compressed, or not in the file")
    return table.size


def num_parameters(model: DescribedModel) -> int:
    """Return the number of weights of a network, as `count_params` of the built model does."""
    config, width = model.config, model.config.d_model
    count = _num_backbone_parameters(config)
    if model.labels is not None:
        return count + model.labels.num_outputs * (width + 1) + model.has_pooler * (width + 1) * width
    count += (width + 1) * width + 2 * width + config.vocab_size  # the head of masked language modelling
    return count + model.next_sentence * ((width + 1) * width + width + 1)


def _num_backbone_parameters(config: BertConfig) -> int:
    width = config.d_model
    embedding = (config.vocab_size + config.max_seq_len + config.type_vocab_size + 2) * width
    attention = 4 * (width + 1) * width
    feed_forward = (width + 1) * config.dff + (config.dff + 1) * width
    return embedding + config.num_layers * (attention + feed_forward + 4 * width)
