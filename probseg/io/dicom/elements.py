"""The bytes of a DICOM file: a walk over its elements that stops before the pixels.

pydicom reads past the end of a cut file without a word and follows nested sequences by recursion. This walk knows
where every element must end, keeps its own stack, and reads only the values that are asked for; pydicom decodes the
compressed pixels and the functional groups afterwards, when the file is known to be sound.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydicom.datadict import DicomDictionary

from probseg.errors import ProbsegError
from probseg.io.guard import max_bytes

__all__ = ["Elements", "Opened", "open_elements", "walk"]

IMPLICIT, EXPLICIT_BIG, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
_EXPLICIT = "1.2.840.10008.1.2.1"
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_UNDEFINED = 0xFFFFFFFF
_PIXEL_DATA = 0x7FE00010
_DEEPEST = 64  # real objects nest fewer than ten


@dataclass(frozen=True)
class Elements:
    """What the walk found.

    Attributes:
        values: tag to raw bytes, top level only, of the tags that were asked for.
        syntax: transfer syntax UID.
        big: whether numbers are big-endian.
        has_meta: whether the file starts with preamble and file meta information.
        pixel_offset: where the value of PixelData starts; None where there is no PixelData.
        pixel_length: its length in bytes; None where it is encapsulated.
        size: of the stream that the offsets refer to.
    """

    values: dict[int, bytes]
    syntax: str
    big: bool
    has_meta: bool
    pixel_offset: int | None
    pixel_length: int | None
    size: int


@dataclass(frozen=True)
class Opened:
    """A file at its first element behind the file meta information; close ``stream`` after use.

    ``size`` and every offset refer to ``stream``, which for a deflated data set is the inflated one.
    """

    stream: IO[bytes]
    syntax: str
    has_meta: bool
    size: int


def open_elements(path: Path, size: int) -> Opened | None:
    """Open a DICOM file of ``size`` bytes; None where it is no DICOM.

    Raises:
        ProbsegError: E_DICOM_TRUNCATED, E_DICOM_CORRUPT, or E_TOO_LARGE where a deflated data set grows too much.
    """
    file = path.open("rb")
    try:
        head = file.read(132)
        has_meta = head[128:] == b"DICM"
        if has_meta or head[:2] == b"\x02\x00":
            file.seek(132 if has_meta else 0)
            syntax = _read_meta(file, path, size)
        elif _looks_like_elements(head):
            file.seek(0)
            syntax = _EXPLICIT if head[4:6].isalpha() else IMPLICIT
        else:
            file.close()
            return None
        if syntax != DEFLATED:
            return Opened(file, syntax, has_meta, size)
        data = _inflate(file, path)
        file.close()
        return Opened(io.BytesIO(data), syntax, has_meta, len(data))
    except BaseException:
        file.close()
        raise


def _looks_like_elements(head: bytes) -> bool:
    """Whether a file without preamble starts with an element of group 8, as old exports do."""
    if len(head) < 16 or head[:2] != b"\x08\x00" or head[3] != 0:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return explicit or struct.unpack_from("<L", head, 4)[0] < 256


def _read_meta(file: IO[bytes], path: Path, size: int) -> str:
    syntax = IMPLICIT
    while True:
        start = file.tell()
        head = file.read(8)
        if len(head) < 8 or head[:2] != b"\x02\x00":
            file.seek(start)
            return syntax
        vr, length = head[4:6], struct.unpack_from("<H", head, 6)[0]
        if vr in _LONG:
            length = struct.unpack("<L", file.read(4).ljust(4, b"\0"))[0]
        if file.tell() + length > size:
            raise _truncated(path)
        value = file.read(length)
        if head[2:4] == b"\x10\x00":
            syntax = value.decode("ascii", "replace").strip("\0 ")


def _inflate(file: IO[bytes], path: Path) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    limit = max_bytes()
    try:
        data = inflater.decompress(file.read(), limit)
    except zlib.error as error:
        raise ProbsegError(
            "E_DICOM_CORRUPT", f"the deflated data set of '{path}' is damaged; export it again"
        ) from error
    if inflater.unconsumed_tail:
        raise ProbsegError("E_TOO_LARGE", f"'{path}' inflates to over the limit of {limit} bytes")
    if not inflater.eof:
        raise _truncated(path)
    return data


def _truncated(path: Path) -> ProbsegError:
    return ProbsegError("E_DICOM_TRUNCATED", f"'{path}' is cut off: an element goes on beyond its end; export it again")


def _corrupt(path: Path, fault: str) -> ProbsegError:
    return ProbsegError("E_DICOM_CORRUPT", f"'{path}' is damaged: {fault}; export it again")


@dataclass
class _Level:
    """One sequence, item or run of fragments that the walk is inside of; ``end`` is None where undefined."""

    kind: str
    end: int | None
    implicit: bool


def walk(opened: Opened, path: Path, wanted: Collection[int]) -> Elements:
    """Walk over the elements up to PixelData.

    Raises:
        ProbsegError: E_DICOM_TRUNCATED where an element ends beyond the file, E_DICOM_CORRUPT where the nesting is
            broken or deeper than any real object's.
    """
    file, syntax, has_meta, size = opened.stream, opened.syntax, opened.has_meta, opened.size
    big = syntax == EXPLICIT_BIG
    order = ">" if big else "<"
    tag_of, short, long = struct.Struct(order + "HH"), struct.Struct(order + "H"), struct.Struct(order + "L")
    values: dict[int, bytes] = {}
    stack: list[_Level] = []
    position = file.tell()
    top_implicit = _is_implicit(file.read(6), syntax)
    file.seek(position)
    while True:
        while stack and stack[-1].end is not None and position >= stack[-1].end:
            stack.pop()
        head = file.read(8)
        if not head and not stack:
            return Elements(values, syntax, big, has_meta, None, None, size)
        if len(head) < 8:
            raise _truncated(path)
        position += 8
        group, element = tag_of.unpack_from(head)
        if group == 0xFFFE:
            position = _delimiter(file, path, element, long.unpack_from(head, 4)[0], stack, position, size)
            continue
        tag = group << 16 | element
        vr = head[4:6]
        if (stack[-1].implicit if stack else top_implicit) or not vr.isalpha():
            length = long.unpack_from(head, 4)[0]
            vr = DicomDictionary.get(tag, ("UN",))[0].encode()
            nested_implicit = True
        else:
            nested_implicit = False
            length = short.unpack_from(head, 6)[0]
            if vr in _LONG:
                rest = file.read(4)
                if len(rest) < 4:
                    raise _truncated(path)
                length = long.unpack(rest)[0]
                position += 4
        undefined = length == _UNDEFINED
        if tag == _PIXEL_DATA and not stack:
            return Elements(values, syntax, big, has_meta, position, None if undefined else length, size)
        if not undefined and position + length > size:
            raise _truncated(path)
        if vr == b"SQ" or undefined:
            fragments = vr[:2] in (b"OB", b"OW")
            implicit = nested_implicit or vr == b"UN"  # an unknown sequence is always implicit (PS3.5, 6.2.2)
            stack.append(
                _Level("fragments" if fragments else "sequence", None if undefined else position + length, implicit)
            )
            if len(stack) > _DEEPEST:
                raise _corrupt(path, f"its sequences are nested more than {_DEEPEST // 2} deep")
        elif tag in wanted and not stack:
            values[tag] = file.read(length)
            position += length
        else:
            file.seek(length, 1)
            position += length


def _is_implicit(head: bytes, syntax: str) -> bool:
    """What the first element shows, which some files get wrong in their meta information."""
    if len(head) < 6:
        return syntax == IMPLICIT
    return not (head[4:6].isalpha() and head[4:6].isupper())


def _delimiter(
    file: IO[bytes], path: Path, element: int, length: int, stack: list[_Level], position: int, size: int
) -> int:
    """Enter or leave an item or a sequence; the new position."""
    if not stack:
        raise _corrupt(path, "an item stands outside of a sequence")
    if element == 0xE000:
        end = None if length == _UNDEFINED else position + length
        if end is not None and end > size:
            raise _truncated(path)
        if stack[-1].kind == "fragments":
            if end is None:
                raise _corrupt(path, "a fragment has no length")
            file.seek(end)
            return end
        stack.append(_Level("item", end, stack[-1].implicit))
        return position
    if element == 0xE00D and stack[-1].kind == "item":
        stack.pop()
    elif element == 0xE0DD:
        while stack and stack[-1].kind == "item":
            stack.pop()
        if stack:
            stack.pop()
    else:
        raise _corrupt(path, "an item ends that never began")
    return position
