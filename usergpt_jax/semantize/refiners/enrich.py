"""Enrichment: what a title too short to name its goods is about, from its category or its brand.

"Blue Door" alone is a name. A category settles it; without one, a brand that the catalogue knows tells the group of
goods that it sells, and a station or airport code tells a place to travel from.

Paper: §2.2 (sparse entities get category and address).
"""

import functools
import re

from usergpt_jax import gazetteer, locales

_MAX_WORDS = 4  # a longer title has something to say itself
_TERMINAL = re.compile(r"\bT\d\b")


@functools.cache
def _brand_groups() -> dict[str, str]:
    """Brand -> the narrowest group of the catalogue that holds all it sells, of all locales; only unambiguous ones."""
    found: dict[str, set[str]] = {}
    for locale in locales.names():
        brands = {row["key"]: row["brands"].split("|") for row in locales.read_rows("brands.csv", locale)}
        goods: dict[str, list[dict[str, str]]] = {}
        for row in locales.read_rows("catalog.csv", locale):
            goods.setdefault(row["brands"], []).append(row)
        for key, names in brands.items():
            for level in ("leaf", "level2", "level1"):
                groups = {row[level] for row in goods.get(key, [])}
                if len(groups) == 1:
                    for name in names:
                        found.setdefault(name.lower(), set()).update(groups)
                    break
    return {name: next(iter(groups)) for name, groups in found.items() if len(groups) == 1}


def entity_of(title: str, leaf: str | None) -> str:
    """The entity of a title without a noun of its own; "" when nothing is known about it."""
    if leaf:
        return leaf
    words = title.split()
    if not 0 < len(words) <= _MAX_WORDS:
        return ""
    city = gazetteer.city_in(title)
    rest = re.sub(re.escape(city.name), " ", title, flags=re.IGNORECASE) if city else title
    if group := _brand_groups().get(" ".join(rest.lower().split())):
        return group
    return "Airport Terminal" if _TERMINAL.search(title) else ""
