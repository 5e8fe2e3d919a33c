"""A TensorFlow 1 checkpoint as arrays, without TensorFlow: an index of names, shapes and offsets beside raw numbers.

The index is a LevelDB table (github.com/google/leveldb, doc/table_format.md): blocks of entries whose keys share
prefixes, then a block that points to them, then 48 bytes that point to that. Its values are BundleEntryProto
(tensorflow/core/protobuf/tensor_bundle.proto). Checksums are not checked.
"""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from restorer.errors import WeightsError

_FOOTER = 48
_MAGIC = bytes.fromhex("57fb808b247547db")
_FLOAT = b"\x01"
_DTYPE, _SHAPE, _OFFSET, _SIZE = 1, 2, 4, 5  # fields of an entry


def read_checkpoint(index: Path, data: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The float32 tensors of an uncompressed checkpoint in one shard, by name.

    Raises WeightsError if `index` is no such table.
    """
    table, numbers = index.read_bytes(), data.read_bytes()
    if table[-len(_MAGIC) :] != _MAGIC:
        raise WeightsError(f"{index} is no index of a TensorFlow checkpoint; install the package again that brought it")
    footer = BytesIO(table[-_FOOTER:])
    _, _, offset, size = (_varint(footer) for _ in range(4))  # the block of statistics, then that of blocks
    arrays = {}
    for _, handle in _entries(table[offset : offset + size]):
        block = BytesIO(handle)
        offset, size = _varint(block), _varint(block)
        for name, value in _entries(table[offset : offset + size]):
            entry = dict(_fields(value))
            if name and entry.get(_DTYPE) == _FLOAT:
                begin = _number(entry.get(_OFFSET, b"\x00"))
                flat = np.frombuffer(numbers[begin : begin + _number(entry[_SIZE])], "<f4")
                dimensions = [dict(_fields(dimension)) for _, dimension in _fields(entry.get(_SHAPE, b""))]
                arrays[name.decode()] = flat.reshape([_number(each[1]) for each in dimensions]).copy()
    return arrays


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values; each key begins with a part of the one before."""
    restarts = int.from_bytes(block[-4:], "little")
    end, key = len(block) - 4 - 4 * restarts, b""
    stream = BytesIO(block)
    while stream.tell() < end:
        shared, fresh, length = (_varint(stream) for _ in range(3))
        key = key[:shared] + stream.read(fresh)
        yield key, stream.read(length)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Field numbers of a protocol buffer and what stands in them, numbers of variable length as they are written."""
    stream = BytesIO(message)
    while stream.tell() < len(message):
        tag = _varint(stream)
        kind = tag & 7
        if kind == 0:
            begun = stream.tell()
            _varint(stream)
            yield tag >> 3, message[begun : stream.tell()]
        else:
            yield tag >> 3, stream.read(_varint(stream) if kind == 2 else {1: 8, 5: 4}[kind])


def _number(written: bytes) -> int:
    return _varint(BytesIO(written))


def _varint(stream: BytesIO) -> int:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    value = shift = 0
    while True:
        (byte,) = stream.read(1)
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value
