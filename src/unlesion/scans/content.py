"""Content: what a file says of what it holds, told without unpacking it."""

from __future__ import annotations

from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n"


def content_of(path: Path) -> int | str:
    """What changes with what a file holds, not with how well it was compressed.

    The same picture takes other lengths on other machines: compressors choose their instructions by the processor.
    Of `.gz` it is the checksum and length of what it holds, of PNG the header and the checksum of its pixels,
    of anything else the length in bytes. The checksums are those of the formats (RFC 1952, RFC 1950).

    Args:
        path: any file, or a folder, of which it is the length that the system gives.

    Returns:
        Hexadecimal digits, or the length in bytes; -1 where there is no file.
    """
    name = path.name.lower()
    try:
        length = path.stat().st_size
        if name.endswith(".gz"):
            return _gzip(path, length) or length
        if name.endswith(".png"):
            return _png(path, length) or length
    except OSError:
        return -1
    return length


def _gzip(path: Path, length: int) -> str:
    """Of the last member, whose trailer ends the file; "" if it is no gzip."""
    with path.open("rb") as stream:
        if length < 18 or stream.read(2) != b"\x1f\x8b":
            return ""
        stream.seek(-8, 2)
        return stream.read(8).hex()


def _png(path: Path, length: int) -> str:
    """Size and kind of pixels, and the checksum that ends their compressed stream; "" if it is no whole PNG."""
    header, tail = "", b""
    with path.open("rb") as stream:
        if stream.read(len(PNG)) != PNG:
            return ""
        while len(start := stream.read(8)) == 8:
            size, kind = int.from_bytes(start[:4], "big"), start[4:]
            after = stream.tell() + size + 4
            if after > length:
                return ""
            if kind == b"IHDR":
                header = stream.read(size).hex()
            elif kind == b"IDAT":
                # The four bytes may be spread over two chunks.
                stream.seek(max(size - 4, 0), 1)
                tail = (tail + stream.read(min(size, 4)))[-4:]
            elif kind == b"IEND":
                return header + tail.hex()
            stream.seek(after)
    return ""
