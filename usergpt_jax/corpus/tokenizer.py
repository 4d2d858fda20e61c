"""Tokenizers: a sentencepiece model trained on the run's own text, or a Hugging Face one from a local folder.

Two ways in. `encode` takes untrusted text (anything that came out of a log) and never yields a control token, whatever
the text spells. `encode_template` takes text written by this program and turns control strings into their ids.
"""

import collections
import io
import itertools
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import sentencepiece

from usergpt_jax.core.errors import InputError

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
THINK, THINK_END = "<think>", "</think>"
ANSWER, ANSWER_END = "<answer>", "</answer>"
TURN_TO_ASSISTANT = f"{IM_END}\n{IM_START}assistant\n"
# Control strings of the sentencepiece tokenizer. The longer ones are whole seams of the chat template, one token each.
CONTROL = (TURN_TO_ASSISTANT, THINK_END + ANSWER, IM_START, IM_END, THINK, THINK_END, ANSWER, ANSWER_END)
_CONTROL_PATTERN = re.compile("(" + "|".join(re.escape(text) for text in CONTROL) + ")")

# Line numbers up to this are one token each; log text holds no newline, so it cannot spell one.
MAX_LINES = 64

_KIND_FILE = "tokenizer_kind.json"
_MODEL_FILE = "sentencepiece.model"
_SPACE = "\u2581"  # how sentencepiece writes a space
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # how it writes a byte of a character that is no piece


@runtime_checkable
class Tokenizer(Protocol):
    """What the pipeline needs of a tokenizer.

    Attributes:
      vocab_size: number of ids.
      pad_id: id that fills up rows; never part of a text.
      end_id: id that ends an output.
    """

    vocab_size: int
    pad_id: int
    end_id: int

    def encode(self, text: str) -> list[int]:
        """Ids of untrusted text; never a control token."""
        ...

    def encode_template(self, text: str) -> list[int]:
        """Ids of trusted text, control strings included."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; control tokens come out as their strings."""
        ...

    def token_bytes(self) -> list[bytes]:
        """What each id adds to a decoded text, in UTF-8; a character may be spread over several ids.

        Joined over a row of ids, these bytes are what `decode` gives. b"" is an id that no output may hold: padding,
        unknown, and special tokens that are no control strings.
        """
        ...

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes what `load_tokenizer` reads."""
        ...


class SentencePieceTokenizer:
    """The embedded default: unigram pieces that may span words, with byte fallback."""

    def __init__(self, model: bytes):
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.vocab_size = self._processor.vocab_size()
        self._control_ids = {text: self._processor.piece_to_id(text) for text in CONTROL}
        self._control_texts = {id_: text for text, id_ in self._control_ids.items()}
        self.pad_id = self._processor.pad_id()
        self.end_id = self._control_ids[IM_END]

    def encode(self, text: str) -> list[int]:
        """See `Tokenizer.encode`."""
        return self._processor.encode(text)

    def encode_template(self, text: str) -> list[int]:
        """See `Tokenizer.encode_template`."""
        ids: list[int] = []
        for part in _CONTROL_PATTERN.split(text):
            if part in self._control_ids:
                ids.append(self._control_ids[part])
            elif part:
                ids.extend(self._processor.encode(part))
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """See `Tokenizer.decode`."""
        texts, plain = [], []
        for id_ in map(int, ids):
            if id_ in self._control_texts:
                texts += [self._processor.decode(plain), self._control_texts[id_]]
                plain = []
            elif id_ != self.pad_id:
                plain.append(id_)
        return "".join([*texts, self._processor.decode(plain)])

    def token_bytes(self) -> list[bytes]:
        """See `Tokenizer.token_bytes`."""
        return [self._bytes_of(id_) for id_ in range(self.vocab_size)]

    def _bytes_of(self, id_: int) -> bytes:
        if id_ in self._control_texts:
            return self._control_texts[id_].encode()
        if self._processor.is_control(id_) or self._processor.is_unknown(id_) or self._processor.is_unused(id_):
            return b""
        piece = self._processor.id_to_piece(id_)
        return _byte_of(piece) if self._processor.is_byte(id_) else piece.replace(_SPACE, " ").encode()

    def save(self, folder: str | os.PathLike[str]) -> None:
        """See `Tokenizer.save`."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _MODEL_FILE).write_bytes(self._model)
        (folder / _KIND_FILE).write_text(json.dumps({"kind": "sentencepiece"}), encoding="utf-8")


class HuggingFaceTokenizer:
    """A tokenizer that `transformers` reads from a local folder, such as Qwen3's."""

    def __init__(self, folder: str | os.PathLike[str]):
        from transformers import AutoTokenizer  # takes a second to import, so only when asked for

        self._tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        self.vocab_size = len(self._tokenizer)
        end = self._tokenizer.convert_tokens_to_ids(IM_END)
        if end is None or end == self._tokenizer.unk_token_id:
            raise InputError(f"{folder}: the tokenizer has no {IM_END!r} token, which ends an output")
        self.end_id = end
        pad = self._tokenizer.pad_token_id
        self.pad_id = end if pad is None else pad

    def vocabulary(self) -> dict[str, int]:
        """Id of every piece, in the tokenizer's own spelling."""
        return self._tokenizer.get_vocab()

    def encode(self, text: str) -> list[int]:
        """See `Tokenizer.encode`."""
        return self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)

    def encode_template(self, text: str) -> list[int]:
        """See `Tokenizer.encode_template`."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def decode(self, ids: Sequence[int]) -> str:
        """See `Tokenizer.decode`."""
        kept = [int(id_) for id_ in ids if id_ != self.pad_id or id_ == self.end_id]
        return self._tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def token_bytes(self) -> list[bytes]:
        """See `Tokenizer.token_bytes`.

        Raises:
          InputError: the tokenizer neither maps bytes to letters, as Qwen's does, nor falls back to bytes.
        """
        bytes_of = _piece_reader(self._tokenizer.backend_tokenizer.decoder)
        found = [b""] * self.vocab_size
        for piece, id_ in self._tokenizer.get_vocab().items():
            found[id_] = bytes_of(piece)
        for id_, token in self._tokenizer.added_tokens_decoder.items():
            found[id_] = b"" if token.special and token.content not in CONTROL else token.content.encode()
        for id_ in (self.pad_id, self._tokenizer.unk_token_id):
            if id_ is not None and id_ != self.end_id:
                found[id_] = b""
        return found

    def save(self, folder: str | os.PathLike[str]) -> None:
        """See `Tokenizer.save`."""
        folder = pathlib.Path(folder)
        self._tokenizer.save_pretrained(str(folder))
        (folder / _KIND_FILE).write_text(json.dumps({"kind": "huggingface"}), encoding="utf-8")


def _piece_reader(decoder: Any) -> Callable[[str], bytes]:
    """From the spelling of a piece to its bytes, as a `tokenizers` decoder reads it."""
    if decoder is not None:
        state = json.loads(decoder.__getstate__())
        kinds = {part["type"] for part in state.get("decoders", [state])}
        if "ByteLevel" in kinds:
            letters = _byte_letters()
            return lambda piece: bytes(letters[c] for c in piece) if letters.keys() >= set(piece) else piece.encode()
        if "ByteFallback" in kinds:
            return lambda piece: _byte_of(piece) if _BYTE.fullmatch(piece) else piece.replace(_SPACE, " ").encode()
    raise InputError("the tokenizer works on neither bytes nor characters with byte fallback")


def _byte_of(piece: str) -> bytes:
    """The byte of a piece such as "<0x0A>"."""
    return bytes([int(piece[3:5], 16)])


def _byte_letters() -> dict[str, int]:
    """The letters by which byte-level tokenizers write bytes: printable ones as themselves, others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


def load_tokenizer(folder: str | os.PathLike[str]) -> Tokenizer:
    """Loads a tokenizer that `save` wrote, or a Hugging Face one from its own folder.

    Raises:
      InputError: the folder holds no tokenizer, or a damaged one.
    """
    folder = pathlib.Path(folder)
    kind_file = folder / _KIND_FILE
    try:
        kind = json.loads(kind_file.read_text(encoding="utf-8"))["kind"] if kind_file.exists() else "huggingface"
        if kind == "sentencepiece":
            return SentencePieceTokenizer((folder / _MODEL_FILE).read_bytes())
    except (ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
        raise InputError(f"{folder}: not a tokenizer of this program: {error}") from None
    if not (folder / "tokenizer.json").exists() and not (folder / "tokenizer_config.json").exists():
        raise InputError(f"{folder}: no tokenizer here; expected {_MODEL_FILE} or tokenizer.json")
    return HuggingFaceTokenizer(folder)


def train_sentencepiece(
    texts: Iterable[str],
    templates: Iterable[str],
    folder: str | os.PathLike[str],
    *,
    vocab_size: int,
    max_piece_chars: int,
    seed: int,
) -> SentencePieceTokenizer:
    """Trains a unigram tokenizer whose pieces may span words ("Cat Litter") but not two items of a MUB line.

    Args:
      texts: training sample; MUB lines are cut at their punctuation, other texts taken whole.
      templates: fixed texts of prompts and outputs, taken whole; each counts as often as if every tenth text held it.
      folder: where to save it.
      vocab_size: ids wanted; fewer when the sample is too small for that many pieces.
      max_piece_chars: longest piece.
      seed: of the trainer's sampling.
    """
    sample = list(texts)
    fragments = collections.Counter(_fragments(sample))
    for template in templates:
        fragments[template] += max(1, len(sample) // 10)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    seeds = folder / "seeds.tsv"
    seeds.write_text(_seed_pieces(fragments, max_piece_chars), encoding="utf-8")
    model = train_unigram(
        itertools.chain.from_iterable(itertools.repeat(*item) for item in fragments.items()),
        vocab_size=vocab_size,
        max_piece_chars=max_piece_chars,
        seed=seed,
        control_symbols=list(CONTROL),
        user_defined_symbols=["\n", *(f"\nL{number}" for number in range(1, MAX_LINES + 1))],
        seed_sentencepieces_file=str(seeds),
        split_by_whitespace=False,
        split_by_number=False,
        split_by_unicode_script=False,
    )
    seeds.unlink()
    tokenizer = SentencePieceTokenizer(model)
    tokenizer.save(folder)
    return tokenizer


def train_unigram(
    sentences: Iterator[str], *, vocab_size: int, max_piece_chars: int, seed: int, **options: Any
) -> bytes:
    """A sentencepiece model that gives text back as it was: byte fallback, no normalisation, spaces kept.

    Args:
      sentences: training sample.
      vocab_size: ids wanted; fewer when the sample is too small for that many pieces.
      max_piece_chars: longest piece.
      seed: of the trainer's sampling.
      **options: further ones of sentencepiece's trainer.

    Raises:
      InputError: the text has more characters than ids are wanted.
    """
    sentencepiece.set_random_generator_seed(seed)
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=sentences,
            model_writer=written,
            model_type="unigram",
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            max_sentencepiece_length=max_piece_chars,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            pad_id=0,
            unk_id=1,
            bos_id=-1,
            eos_id=-1,
            num_threads=1,  # the order of sums, and so the pieces, must not depend on the machine
            minloglevel=2,
            **options,
        )
    except RuntimeError as error:  # its message starts with a place in its code
        raise InputError(f"tokenizer of {vocab_size} ids: {str(error).rpartition('] ')[2]}") from None
    return written.getvalue()


def _fragments(texts: Iterable[str]) -> Iterator[str]:
    """Cuts MUB lines at their seams: a piece learnt from fragments cannot span two of them."""
    for text in texts:
        for line in text.split("\n"):
            if line.startswith("[Source: "):
                yield from _mub_fragments(line)
            elif line:
                yield line


_HEADER = re.compile(
    r"(?P<source>\[Source: [^\]]*\] \[TIME:)(?P<year> \d{4})(?P<month>-\d\d)?(?P<day>-\d\d)?"
    r"(?P<type>\] \[TYPE: [^\]]*\] \[COUNT:)(?P<count> \d+\] \|)"
)


def _mub_fragments(line: str) -> Iterator[str]:
    """Cuts a line: its header without the count, " 5] |", " item", ", item", ...; and the header once more in parts.

    A space leads its fragment, because sentencepiece allows none at a piece's end. A separator belongs to the item
    after it, which halves the tokens of a line.
    """
    match = _HEADER.match(line)
    if match is None:
        yield line
        return
    parts = match.groupdict()
    yield f" {line[: match.end('type')]}"  # after a line number; frequent ones become one token
    yield f" {parts['source']}"
    yield from (part for name, part in parts.items() if part and name != "source")
    first, *others = line[match.end() :].split(", ")
    yield first
    yield from (f", {item}" for item in others)
    for item in others:
        yield f" {item}"  # as an output cites it
        core, bracket, attributes = item.partition(" (")
        yield from (f" {core}", f", {core}", f"{bracket}{attributes}") if bracket else ()  # for what is rare as a whole


_MAX_NGRAM_CHARS = 8
_SEED_PIECES = 50_000


def _seed_pieces(fragments: collections.Counter[str], max_piece_chars: int) -> str:
    r"""Candidates for the vocabulary, one "piece\tcount" a line: spans of whole words, and short letter n-grams.

    sentencepiece's own candidates are substrings that occur in two distinct sentences, so a phrase that is always a
    whole fragment would never be one.
    """
    counts: collections.Counter[str] = collections.Counter()
    for fragment, count in fragments.items():
        starts = [match.start() for match in re.finditer(r"(?<!\S)\S|\s", fragment)]
        ends = [*starts[1:], len(fragment)]
        spans = {
            fragment[start:end] for i, start in enumerate(starts) for end in ends[i:] if end - start <= max_piece_chars
        }
        grams = {
            fragment[start : start + length]
            for length in range(2, _MAX_NGRAM_CHARS + 1)
            for start in range(len(fragment) - length + 1)
        }
        for piece in spans | grams:
            counts[piece] += count
    ranked = sorted(counts.items(), key=lambda item: (-item[1] * len(item[0]), item[0]))[:_SEED_PIECES]
    singles = collections.Counter("".join(fragments))
    lines = [*sorted(singles.items()), *((piece, count * len(piece)) for piece, count in ranked)]
    return "".join(f"{piece.replace(' ', _SPACE)}\t{count}\n" for piece, count in lines if "\n" not in piece)
