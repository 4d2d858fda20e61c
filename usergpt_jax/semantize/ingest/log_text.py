"""The text of CSV and JSONL files: gunzipped, decoded and cut into chunks.

A byte order mark tells UTF-8, UTF-16 and UTF-32 apart; without one the text has the encoding of its `LogFile`. What is
not valid in the encoding becomes U+FFFD.
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
_MARKS = (  # that of UTF-32 starts with that of UTF-16
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"), (codecs.BOM_UTF8, "utf-8-sig")),
)


def chunks(file: LogFile) -> Iterator[str]:
    """The text of a file, a few MiB at a time.

    Raises:
      BadFileError: it cannot be opened, or its gzip stream is broken or ends early.
    """
    blocks = _blocks(file)
    head = next(blocks, b"")
    decoder = codecs.getincrementaldecoder(_marked(head) or file.encoding)(errors="replace")
    yield decoder.decode(head)
    for block in blocks:
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)


def _blocks(file: LogFile) -> Iterator[bytes]:
    try:
        with cast(IO[bytes], gzip.open(file.path) if file.compressed else file.path.open("rb")) as opened:
            while block := opened.read(_CHUNK_BYTES):
                yield block
    except (OSError, EOFError, zlib.error) as error:
        kind = "gzip" if file.compressed else file.format
        raise BadFileError(f"{file.path}: cannot be read as {kind}: {error}") from None


def _marked(head: bytes) -> str:
    """The encoding that a byte order mark tells, "" without one."""
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), "")


def guess_encoding(file: LogFile) -> str:
    """The likeliest encoding of a text file by its first MiB: "utf-8", "cp1252", or "" for neither.

    Text is taken for UTF-8 unless more of its characters beyond ASCII are broken than whole.

    Raises:
      BadFileError: see `chunks`.
    """
    head = next(_blocks(file), b"")
    text = codecs.getincrementaldecoder("utf-8")(errors="replace").decode(head)
    broken = text.count(REPLACEMENT)
    if _marked(head) or 2 * broken <= sum(not one.isascii() for one in text):
        return "utf-8"
    try:
        head.decode("cp1252")
    except UnicodeDecodeError:
        return ""
    return "cp1252"


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
            self._left = memoryview(chunk.encode(errors="replace"))
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size
