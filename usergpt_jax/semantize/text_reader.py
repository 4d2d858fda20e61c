"""How the distinct texts of a log are read: by which refiner, and whether mapped onto the catalogue's leaves."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from usergpt_jax import schema, tags
from usergpt_jax.core.config import ConfigError, to_dataclass, to_plain
from usergpt_jax.models.text_encoder import TextEncoder, load_encoder
from usergpt_jax.semantize import survey
from usergpt_jax.semantize.categories import coverage, mapping
from usergpt_jax.semantize.names import Lexicon
from usergpt_jax.semantize.refiners.choose import Chosen, ChosenRefiner, choose
from usergpt_jax.semantize.survey import Texts

READING = "reading.json"  # of a stage's folder: the sections `refine` and `categories`, and `decides`


@dataclasses.dataclass(frozen=True)
class CategoriesConfig:
    """The section `categories`.

    Attributes:
      map: whether titles are mapped onto the leaves of the catalogue, the words that the evidence of tags is keyed by;
        for logs with categories of their own, or none.
      file: CSV of the user's own map, "" for none.
      sources: of `schema.SOURCES`, those whose leaves come into question; () for all.
      threshold: confidence below which a title keeps its own category.
      encoder: folder of a BERT-type text encoder that finds the nearest leaf, "" for hashed n-grams.
    """

    map: bool
    file: str
    sources: tuple[str, ...]
    threshold: float
    encoder: str

    def __post_init__(self):
        """Raises `ConfigError` for a value out of range."""
        if not 0 <= self.threshold <= 1:
            raise ConfigError(f"config.categories.threshold: expected 0 to 1, got {self.threshold}")
        if unknown := sorted(set(self.sources) - set(schema.SOURCES)):
            expected = ", ".join(schema.SOURCES)
            raise ConfigError(f"config.categories.sources: unknown {unknown[0]!r}; expected some of {expected}")
        for name, path in (("file", self.file), ("encoder", self.encoder)):
            if path and not self.map:
                raise ConfigError(f"config.categories.{name}: {path!r} is given, but config.categories.map is False")


class TextReader:
    """Reads texts as a config says.

    Attributes:
      sections: `refine` and `categories` of the config with absolute paths, JSON-ready.
      decides: what of them decides the names, JSON-ready.
      counts: of the last reading: titles refined and fallen back by reason, and mapped by step.
    """

    def __init__(
        self,
        refiner: Chosen,
        mapper: mapping.Mapper | None,
        encoder: TextEncoder | None,
        locale: str,
        sections: dict[str, Any],
        decides: dict[str, Any],
    ):
        self._refiner, self._mapper, self._encoder, self._locale = refiner, mapper, encoder, locale
        self.sections, self.decides = sections, decides
        self.counts: dict[str, int] = {}

    def lexicon(self, texts: Texts) -> Lexicon:
        """Refines each distinct text once; what was mapped, and what was not, is printed."""
        refiner, mapped_counts = self._refiner, {}
        if self._mapper is not None:
            mapped = mapping.map_pairs(texts.titles, self._with_encoder(self._mapper))
            refiner = mapping.mapped_refiner(self._refiner, mapped)
            found = coverage.coverage(mapped, texts.titles)
            print("\n".join(found.lines()))
            mapped_counts = {f"mapped_{step}": n for step, n in found.pairs.items()}
        lexicon = survey.lexicon_of(texts, refiner, self._locale)
        self.counts = {**self._refiner.counts, **mapped_counts}
        return lexicon

    def save(self, folder: pathlib.Path) -> None:
        """Writes `READING`, so that a model made of this text can read other logs alike."""
        text = json.dumps({**self.sections, "decides": self.decides}, indent=2)
        (folder / READING).write_text(text + "\n", encoding="utf-8")

    def _with_encoder(self, mapper: mapping.Mapper) -> mapping.Mapper:
        """The mapper by the encoder, if there is one; only here, for it reads thousands of names first."""
        if self._encoder is None:
            return mapper
        found = mapping.with_embedder(mapper, self._encoder.unit_vectors)
        assert found.prototypes is not None
        weights = ", ".join(f"{key} {value:.2f}" for key, value in found.prototypes.calibration._asdict().items())
        print(f"config.categories.encoder: confidence fitted on the catalogue's names: {weights}")
        return found


def text_reader(config: Any) -> TextReader:
    """The reader of a config, by its sections `refine` and `categories` and the market of `tag_schema`.

    Raises:
      InputError: a value out of range, a missing or unfit model or file, or a server's address or key.
    """
    categories = to_dataclass(CategoriesConfig, config.categories, "categories")
    chosen = to_dataclass(ChosenRefiner, config.refine, "refine")
    refiner = choose(chosen, config.run_dir)
    locale = tags.locale_of(config.tag_schema)
    mapper, encoder = None, None
    if categories.map:
        encoder = load_encoder(categories.encoder) if categories.encoder else None
        mapper = mapping.load_mapper(
            locale,
            sources=categories.sources,
            map_file=categories.file,
            threshold=categories.threshold,
        )
    file = pathlib.Path(categories.file).read_bytes() if mapper and categories.file else b""
    contents = {"file": hashlib.sha256(file).hexdigest(), "encoder": encoder.identity if encoder else ""}
    decides = {
        "refiner": refiner.identity,
        "categories": {**to_plain(categories), **contents} if mapper else {},
    }
    sections = {
        "refine": {**to_plain(chosen), "path": _absolute(chosen.path or config.run_dir) if chosen.kind == "lm" else ""},
        "categories": {
            **to_plain(categories),
            "file": _absolute(categories.file),
            "encoder": _absolute(categories.encoder),
        },
    }
    return TextReader(refiner, mapper, encoder, locale, sections, decides)


def reader_like(
    reading: Mapping[str, Any], tag_schema: str, folder: pathlib.Path, changed: Mapping[str, Mapping[str, Any]]
) -> TextReader:
    """A reader as another run had it.

    Args:
      reading: of that run.
      tag_schema: of that run.
      folder: where the refiner keeps its answers, in `refined`.
      changed: what differs in its sections.

    Raises:
      InputError: as `text_reader`.
    """
    sections = {name: {**reading[name], **changed.get(name, {})} for name in ("refine", "categories")}
    return text_reader(ConfigDict({**sections, "tag_schema": tag_schema, "run_dir": str(folder)}))


def _absolute(path: str) -> str:
    return str(pathlib.Path(path).resolve()) if path else ""
