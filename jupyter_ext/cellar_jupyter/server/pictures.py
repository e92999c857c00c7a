"""Which files are pictures, by how they begin, and which of those a model can be sent."""

from __future__ import annotations

from typing import Literal

Mime = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]

HEAD = 16
"""Bytes that tell it."""
MAX_PICTURE_BYTES = 6_000_000
"""What the panel attaches of pasted pictures at most, too: 8,000,000 characters of base64."""

_SENT: dict[bytes, Mime] = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_NOT_SENT = (b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"8BPS", b"\0\0\1\0", b"\0\0\0\x0cjP  ")
_HEIF = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")


def mime_of(head: bytes) -> Mime | None:
    """Of a picture that can be sent."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return next((mime for mark, mime in _SENT.items() if head.startswith(mark)), None)


def is_other_picture(head: bytes) -> bool:
    """BMP, TIFF, HEIF, AVIF, Photoshop, icon, JPEG 2000: asked of a file that is no text."""
    return head.startswith(_NOT_SENT) or (head[4:8] == b"ftyp" and head[8:12] in _HEIF)
