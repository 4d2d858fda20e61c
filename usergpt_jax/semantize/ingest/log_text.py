"""The text of CSV and JSONL files: gunzipped, decoded and cut into chunks.

A byte order mark tells UTF-8, UTF-16 little and big endian apart; without one the text is UTF-8. What is not valid in
the encoding becomes U+FFFD.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from typing import IO, cast

from usergpt_jax.semantize.ingest.log_files import BadFileError, LogFile

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_CHUNK_BYTES = 4 << 20


def chunks(file: LogFile) -> Iterator[str]:
    """The text of a file, a few MiB at a time.

    Raises:
      BadFileError: it cannot be opened, or its gzip stream is broken or ends early.
    """
    try:
        with cast(IO[bytes], gzip.open(file.path) if file.compressed else file.path.open("rb")) as opened:
            head = opened.read(_CHUNK_BYTES)
            decoder = codecs.getincrementaldecoder(_encoding(head))(errors="replace")
            yield decoder.decode(head)
            while block := opened.read(_CHUNK_BYTES):
                yield decoder.decode(block)
            yield decoder.decode(b"", final=True)
    except (OSError, EOFError, zlib.error) as error:
        kind = "gzip" if file.compressed else file.format
        raise BadFileError(f"{file.path}: cannot be read as {kind}: {error}") from None


def _encoding(head: bytes) -> str:
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


class Utf8Stream(io.RawIOBase):
    """Chunks of text as a stream of UTF-8 bytes, with `tail` after them."""

    def __init__(self, text: Iterator[str], tail: str):
        super().__init__()
        self._text = text
        self._left = memoryview(b"")
        self._tail: str | None = tail

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer) -> int:
        """Fills a buffer; 0 at the end."""
        while not self._left:
            chunk = next(self._text, None)
            if chunk is None:
                if self._tail is None:
                    return 0
                chunk, self._tail = self._tail, None
            self._left = memoryview(chunk.encode())
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size
