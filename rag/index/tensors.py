"""Arrays in a safetensors file, mapped into memory instead of read: processes share one copy, in pages as needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

Tensor: TypeAlias = NDArray[np.float32] | NDArray[np.uint64] | NDArray[np.int64] | NDArray[np.int32] | NDArray[np.int8]
_DTYPES = {"F32": "<f4", "U64": "<u8", "I64": "<i8", "I32": "<i4", "I8": "i1"}


def map_tensors(path: Path) -> dict[str, Tensor]:
    """The arrays of a file that `write_tensors` wrote, read only; call it on files whose checksum was compared.

    A file is the length of its header (8 bytes), the header (JSON: type, shape and byte range of each array), the data.
    """
    data = np.memmap(path, dtype=np.uint8, mode="r").view(np.ndarray)
    start = 8 + int(data[:8].view("<u8")[0])
    header = json.loads(data[8:start].tobytes())
    tensors: dict[str, Tensor] = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        tensors[name] = data[start + first : start + last].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write arrays of float32, uint64, int64, int32 or int8.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, path)
