"""Files of tensors from strangers, read as data: nothing in a file is run, and nothing is allocated by what it claims.

A `.safetensors` file is opened by its library, which checks that every tensor lies within the file. A `.pt` file is a
zip with a pickle, which names tensors, and a member with the numbers of each. torch.load builds whatever tensors the
pickle claims: sparse, quantized or nested ones, and storages larger than the file. So the pickle is read here, by an
unpickler that knows only plain tensors and only notes down what it is told about them. Shapes can thus be compared
with what is expected before any number is read.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from pipeline.settings import UserError, WeightsError, first_line, one_line

MAX_TENSORS = 10_000  # far more than the release's few hundred
_MAX_PICKLE_BYTES = 10_000_000  # room for the names of MAX_TENSORS
_DTYPES = {  # by their names in safetensors and in a pickle of torch
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
}


_READS: dict[int, Any] = {**pickle._Unpickler.dispatch}  # by opcode


class StoredTensor(NamedTuple):
    """A tensor as its file describes it. dtype: as the file calls it. read: its values; not before `read_values`."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Tensor]


@contextmanager
def stored_tensors(path: Path) -> Iterator[tuple[dict[str, StoredTensor], dict[str, str]]]:
    """The tensors of a `.safetensors` or `.pt` file by their names, and its metadata (empty for `.pt`).

    Their values can be read within the block. Raises WeightsError, within the block too, if the file can't be read.
    """
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                yield _in_safetensors(file), file.metadata() or {}
        else:
            if not zipfile.is_zipfile(path):
                raise ValueError("not a whole zip, which torch.save writes since version 1.6")
            with zipfile.ZipFile(path) as archive:
                yield _in_zip(archive, path.stat().st_size), {}
    except UserError:
        raise
    except Exception as error:  # a damaged or hostile file can make a library raise nearly anything
        told = one_line(first_line(error), 200)
        raise WeightsError(f"{path}: can't be read as a checkpoint of plain tensors ({told})") from None


def read_values(path: Path, tensors: Mapping[str, StoredTensor]) -> dict[str, np.ndarray]:
    """The values of some tensors of a file, float32.

    Raises WeightsError if they hold anything but floating-point numbers, one that is not finite in float32, or more
    numbers than the file has bytes, as tensors that repeat a few stored numbers may.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES:
            raise WeightsError(
                f"{path}: {short(name)} holds {short(tensor.dtype)}, not floating-point numbers of 16, 32 or 64 bits"
            )
    total, size = sum(_count(tensor.shape) for tensor in tensors.values()), path.stat().st_size
    if total > size:
        raise WeightsError(f"{path}: claims {short(f'{total:,}')} numbers, more than a file of {size:,} bytes holds")
    values = {name: tensor.read().float().contiguous().numpy() for name, tensor in tensors.items()}
    for name, numbers in values.items():
        if not np.isfinite(numbers).all():
            raise WeightsError(f"{path}: {short(name)} holds a number that is not finite in float32")
    return values


def short(text: object) -> str:
    """A name, number or shape out of a file, fit for a message of one line."""
    return one_line(str(text), 80)


def _count(shape: Sequence[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def _in_safetensors(file: Any) -> dict[str, StoredTensor]:
    names = file.keys()
    _check_number(len(names))
    slices = {name: file.get_slice(name) for name in names}
    return {
        name: StoredTensor(tuple(part.get_shape()), part.get_dtype(), partial(file.get_tensor, name))
        for name, part in slices.items()
    }


def _check_number(tensors: int) -> None:
    if tensors > MAX_TENSORS:
        raise ValueError(f"it holds {tensors:,} tensors, more than {MAX_TENSORS:,}")


def _in_zip(archive: zipfile.ZipFile, size: int) -> dict[str, StoredTensor]:
    """The tensors of a zip that torch.save wrote. size: of the file in bytes."""
    members = archive.infolist()
    plain = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    if not plain or sum(member.file_size for member in members) > size:
        raise ValueError("its zip is compressed or claims more than it holds")
    names = [member.filename for member in members if member.filename.endswith("/data.pkl")]
    if len(names) != 1:
        raise ValueError("torch.save did not write it")
    if archive.getinfo(names[0]).file_size > _MAX_PICKLE_BYTES:
        raise ValueError(f"it names more than {MAX_TENSORS:,} tensors")
    folder = names[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.NameToInfo and archive.read(f"{folder}byteorder") != b"little":
        raise ValueError("a big-endian machine wrote it")
    read = cache(lambda key: bytearray(archive.read(f"{folder}data/{key}")))  # tensors may share their numbers
    try:
        state = _TensorUnpickler(io.BytesIO(archive.read(names[0])), read).load()
    except KeyError:  # an opcode that torch.save doesn't write
        raise ValueError("torch.save did not write it") from None
    if not isinstance(state, dict) or not all(isinstance(tensor, StoredTensor) for tensor in state.values()):
        raise ValueError("not a state dict; a checkpoint maps names to tensors and holds nothing else")
    _check_number(len(state))
    return state


class _TensorUnpickler(pickle._Unpickler):
    """Reads a pickle that holds names and plain tensors; the tensors become StoredTensors.

    The unpickler in C would allocate what some opcodes claim, so this is the one in Python, with only the opcodes that
    torch.save writes. No object of a pickle is called or changed except the few in `find_class`.
    """

    stack: list[Any]

    def __init__(self, file: io.BytesIO, read: Callable[[str], bytearray]):
        super().__init__(file)
        self._read = read

    def find_class(self, module: str, name: str) -> object:
        """What a pickle means by a name: a way to note a tensor down, or the name of a number format."""
        known: dict[str, object] = {
            "collections.OrderedDict": self._dictionary,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_parameter": self._parameter,
        }
        if module == "torch" and name.endswith("Storage"):
            return name
        if f"{module}.{name}" not in known:
            raise ValueError(f"it holds {short(f'{module}.{name}')}, not only dense tensors of floating-point numbers")
        return known[f"{module}.{name}"]

    def persistent_load(self, pid: tuple[str, str, str, str, int]) -> tuple[str, str]:
        """The number format and the key of the stored numbers of a tensor."""
        _, dtype, key, _, _ = pid
        return str(dtype), str(key)

    @staticmethod
    def _dictionary() -> dict[str, object]:
        return {}

    def _tensor(
        self, storage: tuple[str, str], offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
    ) -> StoredTensor:
        dtype, key = storage
        if not all(type(size) is int and size >= 0 for size in (offset, *shape, *stride)):
            raise ValueError("it holds a tensor whose sizes are not whole numbers")

        def read() -> Tensor:
            stored = torch.frombuffer(self._read(key), dtype=_DTYPES[dtype])
            return stored.as_strided(shape, stride, offset)  # raises RuntimeError where it leaves what is stored

        return StoredTensor(tuple(shape), dtype, read)

    @staticmethod
    def _parameter(tensor: StoredTensor, *_: object) -> StoredTensor:
        return tensor

    def _set_item(self) -> None:
        self._check_names(self.stack[-2:-1])
        _READS[pickle.SETITEM[0]](self)

    def _set_items(self) -> None:
        self._check_names(self.stack[::2])
        _READS[pickle.SETITEMS[0]](self)

    @staticmethod
    def _check_names(names: list[object]) -> None:
        """Tuples of tuples of tuples … may take for ever to hash."""
        if not all(isinstance(name, str) for name in names):
            raise ValueError("not a state dict; its tensors have other names than text")

    def _leave_out_attributes(self) -> None:
        """A state dict may have attributes, of which none is needed."""
        self.stack.pop()

    _KNOWN = (
        *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.REDUCE, pickle.BINPERSID, pickle.EMPTY_DICT),
        *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.BINUNICODE),
        *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE),
        *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET, pickle.BINFLOAT),
        *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS),
    )
    dispatch: ClassVar[dict[int, Any]] = {
        **{opcode[0]: _READS[opcode[0]] for opcode in _KNOWN},
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.BUILD[0]: _leave_out_attributes,
    }
