"""The `.Z` files of the old `compress` program, undone."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["LzwDamaged", "unpack_lzw"]

_MAGIC = b"\x1f\x9d"
_CLEAR = 256


class LzwDamaged(ValueError):
    """The stream holds a code that its table does not have."""


def unpack_lzw(packed: bytes) -> Iterator[bytes]:
    """
    Yield the pieces that a `.Z` stream (adaptive Lempel-Ziv-Welch, codes of 9 to 16 bits) unpacks to.

    Parameters
    ----------
    packed : bytes
        The whole file, its three header bytes included.

    Raises
    ------
    LzwDamaged
        If the stream cannot come from `compress`.

    Notes
    -----
    Codes are written lowest bit first in groups of eight, so that a group of n-bit codes fills n bytes; when the code
    width changes, the rest of the group is padding. Method: Welch 1984, Computer 17(6), 8,
    doi:10.1109/MC.1984.1659158. Pure Python at about 10 MB/s: old archives only, no telescope writes these.
    """
    if len(packed) < 3 or packed[:2] != _MAGIC:
        raise LzwDamaged("no compress header")
    flags = packed[2]
    widest, in_blocks = flags & 0x1F, bool(flags & 0x80)
    if not 9 <= widest <= 16:
        raise LzwDamaged(f"codes of {widest} bits")
    first_free = 257 if in_blocks else 256
    table = [bytes((value,)) for value in range(256)] + [b""] * (first_free - 256)
    width, previous = 9, b""
    at, used_bits = 3, 0  # byte where the present run of equal widths began, bits used since
    end_bits = (len(packed) - 3) * 8
    while (at - 3) * 8 + used_bits + width <= end_bits:
        byte = at + used_bits // 8
        word = int.from_bytes(packed[byte : byte + 3], "little")
        code = (word >> (used_bits % 8)) & ((1 << width) - 1)
        used_bits += width
        if in_blocks and code == _CLEAR:
            at += _whole_groups(used_bits, width)
            used_bits, width, previous = 0, 9, b""
            del table[first_free:]
            continue
        if code < len(table) and (code != _CLEAR or not in_blocks):
            piece = table[code]
        elif code == len(table) and previous:
            piece = previous + previous[:1]
        else:
            raise LzwDamaged(f"code {code} of {len(table)}")
        yield piece
        if previous and len(table) < (1 << widest):
            table.append(previous + piece[:1])
            if len(table) == (1 << width) and width < widest:
                at += _whole_groups(used_bits, width)
                used_bits, width = 0, width + 1
        previous = piece


def _whole_groups(used_bits: int, width: int) -> int:
    """Return the bytes that the groups of eight codes begun so far fill."""
    return -(-used_bits // (8 * width)) * width
