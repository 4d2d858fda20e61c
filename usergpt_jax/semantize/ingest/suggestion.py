"""A mapping in the making, and the text of its file."""

import dataclasses

from usergpt_jax.semantize.ingest import column_words

_NOT_MISSED = ("action_column", "source_column", "unroll")


@dataclasses.dataclass
class Suggestion:
    """What was found for a mapping.

    Attributes:
      values: by mapping key, in the order of the file.
      notes: why, by mapping key.
      value_notes: why, by mapping key and value of a value map.
      columns: of the log that have a use.
    """

    values: dict[str, object] = dataclasses.field(default_factory=dict)
    notes: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    value_notes: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    columns: set[str] = dataclasses.field(default_factory=set)

    def put(self, key: str, value: object, *notes: str) -> None:
        """Sets a key of the mapping."""
        self.values[key] = value
        self.notes[key] = list(notes)

    def text(self, log: str, columns: list[str], lists: list[str]) -> str:
        """The mapping file.

        Args:
          log: what the mapping is for.
          columns: of the log.
          lists: columns of the log with lists.
        """
        missing = [key for key in column_words.COLUMNS if key not in self.values and key not in _NOT_MISSED]
        unused = [one for one in columns if one not in self.columns]
        lines = [f'"""A mapping suggested for {_quoted(log)}; check every line."""', ""]
        lines += [f"# Not found: {', '.join(missing)}."] if missing else []
        lines += [f"# Columns without a use: {_quoted(', '.join(unused))}."] if unused else []
        named = _quoted(", ".join(lists))
        lines += [f"# Lists, of which `unroll` can make an event an element: {named}."] if lists else []
        lines += ["", "", "def get_config() -> dict:", "    return {"]
        for key in ("user_id", "time", "title"):
            if key not in self.values:
                lines.append(f'        "{key}": "",  # not found, and needed')
        for key, value in self.values.items():
            note = f"  # {_quoted('; '.join(self.notes[key]))}" if self.notes[key] else ""
            if isinstance(value, dict):
                inner = [self._pair(key, name, meaning) for name, meaning in value.items()]
                lines += [f'        "{key}": {{{note}', *inner, "        },"]
            else:
                lines.append(f'        "{key}": {value!r},{note}')
        return "\n".join([*lines, "    }", ""])

    def _pair(self, key: str, name: str, meaning: object) -> str:
        note = self.value_notes.get((key, name), "")
        return f"            {name!r}: {meaning!r}," + (f"  # {note}" if note else "")


def _quoted(text: str) -> str:
    """Text that can stand in a comment or docstring."""
    return " ".join(text.split()).replace("\\", "/").replace('"', "'")
