"""How many tokens is a picture? By its size, as vLLM counts for Qwen2-VL and Qwen2.5-VL: one for 28 x 28 pixels.

Width and height stand in the first bytes of a PNG, GIF and WebP file, and behind the metadata of a JPEG file; only
these bytes are decoded. Other model families count in other ways: `TokenCounter.calibrate` learns from `usage`.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable

UNKNOWN_TOKENS = 1_200  # a picture whose size cannot be read
MOST_TOKENS = 4_096
"""More than 3 megapixels count no more: most families make large pictures smaller, and one that is left out because it
was thought to be too big helps nobody."""
_PATCH = 28
_SEGMENTS = 200  # of a JPEG file's head

_Read = Callable[[int, int], bytes]  # offset, count -> these bytes, fewer at the end


def picture_tokens(base64: str) -> int:
    size = picture_size(base64)
    if size is None:
        return UNKNOWN_TOKENS
    width, height = size
    return min(MOST_TOKENS, max(4, -(-width // _PATCH) * -(-height // _PATCH)))


def picture_size(base64: str) -> tuple[int, int] | None:
    """Width and height in pixels; None: neither PNG, JPEG, GIF nor WebP, or damaged."""

    def read(offset: int, count: int) -> bytes:
        first, behind = offset // 3, -(-(offset + count) // 3)
        return b64decode(base64[4 * first : 4 * behind])[offset - 3 * first :][:count]

    try:
        width, height = _size(read)
    except (binascii.Error, ValueError):
        return None
    return (width, height) if width and height else None


def _size(read: _Read) -> tuple[int, int]:
    """(0, 0): unknown."""
    head = read(0, 30)
    if len(head) < 10:
        return 0, 0
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    if head.startswith((b"GIF87a", b"GIF89a")):
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _webp(head)
    return _jpeg(read) if head.startswith(b"\xff\xd8") else (0, 0)


def _webp(head: bytes) -> tuple[int, int]:
    match head[12:16]:
        case b"VP8 ":
            return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return 0, 0


def _jpeg(read: _Read) -> tuple[int, int]:
    """From marker to marker up to the frame's header (SOF0 to SOF15 but DHT, JPG and DAC)."""
    offset = 2
    for _ in range(_SEGMENTS):
        segment = read(offset, 9)
        if len(segment) < 9 or segment[0] != 0xFF:
            break
        if 0xC0 <= segment[1] <= 0xCF and segment[1] not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(segment[7:9]), int.from_bytes(segment[5:7])
        offset += 2 + int.from_bytes(segment[2:4])
    return 0, 0
