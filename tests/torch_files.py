"""Files of `torch.save` made by hand, byte by byte, without PyTorch."""

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping

MAGIC_NUMBER, PROTOCOL_VERSION = 0x1950A86A20F9469CFC6C, 1001
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
EMPTY_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def pickled(body: bytes) -> bytes:
    """Return a pickle of protocol 2 whose operations are `body`."""
    return b"\x80\x02" + body + b"."


def operations(value: object) -> bytes:
    """Return the operations that push a plain value: without those around a whole pickle."""
    return pickle.dumps(value, protocol=2)[2:-1]


def storage_operations(key: str, kind: str, numel: int, *further: None) -> bytes:
    """Return the operations that push a storage; `further` is a None in the older form."""
    parts = [operations("storage"), b"ctorch\n" + kind.encode() + b"\n", operations(key), operations("cpu")]
    return b"(" + b"".join([*parts, operations(numel), *map(operations, further)]) + b"tQ"


def tensor_operations(storage: bytes, size: tuple, stride: tuple, offset: int = 0) -> bytes:
    """Return the operations that push a tensor."""
    parts = [storage, operations(offset), operations(size), operations(stride), operations(False), EMPTY_ORDERED_DICT]
    return REBUILD + b"(" + b"".join(parts) + b"tR"


def dict_operations(items: Mapping[str, bytes]) -> bytes:
    """Return the operations that push an OrderedDict with `_metadata`, as `Module.state_dict` returns it."""
    body = b"".join(operations(name) + value for name, value in items.items())
    metadata = operations("_metadata") + EMPTY_ORDERED_DICT + operations("") + operations({"version": 1}) + b"s"
    return EMPTY_ORDERED_DICT + b"(" + body + b"u" + b"}" + metadata + b"s" + b"b"


def zip_file(body: bytes, storages: Mapping[str, bytes], byte_order: bytes = b"little") -> bytes:
    """Return a file as PyTorch writes it since 1.6."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(body))
        archive.writestr("archive/byteorder", byte_order)
        for key, values in storages.items():
            archive.writestr(f"archive/data/{key}", values)
    return buffer.getvalue()


def legacy_file(body: bytes, storages: Mapping[str, tuple[int, bytes]], little_endian: bool = True) -> bytes:
    """Return a file as PyTorch wrote it before 1.6. `storages` has the number of values and the values."""
    system = {"protocol_version": PROTOCOL_VERSION, "little_endian": little_endian, "type_sizes": {"int": 4}}
    start = [operations(MAGIC_NUMBER), operations(PROTOCOL_VERSION), operations(system), body]
    raw = [struct.pack("<q", numel) + values for numel, values in storages.values()]
    return b"".join([*map(pickled, start), pickled(operations(list(storages))), *raw])
