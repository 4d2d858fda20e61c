import datetime

import numpy as np
import polars as pl
import pytest
from ml_collections import ConfigDict

from configs.quickstart import get_config
from usergpt_jax import schema
from usergpt_jax.semantize import coded
from usergpt_jax.semantize.config import SemantizeConfig

CATALOG = {  # category -> (source, titles)
    "Wet Wipes": (
        "ecommerce",
        ["【Hot Sale】Huggies Wet Wipes for Baby 80pcs", "Softy Wet Wipes 5 packs free shipping"],
    ),
    "Diapers": ("ecommerce", ["Pampers Diapers Size L 44 pcs", "Pampers Diapers Size XL 40 pcs"]),
    "Dress": ("ecommerce", ["Zara Women's Dress new arrival", "Muji Dress limited edition"]),
    "Bubble Tea": ("delivery", ["Pearl Milk Bubble Tea (Hangzhou)", "HeyTea Bubble Tea 50% off"]),
    "Train Ticket": ("travel", ["Train G1 to Beijing", "Train G7 to Shanghai"]),
    "University": ("poi", ["Zhejiang University Library", "Campus Gate"]),
}
PLACES = ["Xihu District, Hangzhou", "Beijing", "12 Nowhere Road", None]
AS_OF = datetime.datetime(2025, 7, 1)


class CharTokenizer:
    """One token a character; `</answer>` and the like are just characters."""

    vocab_size, pad_id, end_id = 1000, 0, 1

    def encode(self, text):
        return [ord(char) for char in text]

    encode_template = encode

    def decode(self, ids):
        return "".join(map(chr, ids))

    def save(self, folder):
        raise NotImplementedError


def make_events(n_users=6, n_events=120, seed=0, days=730):
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n_users):
        seconds = np.sort(rng.integers(1, days * 86400, n_events))[::-1]
        for offset in seconds:
            category = str(rng.choice(list(CATALOG)))
            source, titles = CATALOG[category]
            action = "visit" if source == "poi" else str(rng.choice(["click", "click", "search", "purchase"]))
            rows.append(
                {
                    "user_id": f"u{user:03d}",
                    "time": AS_OF - datetime.timedelta(seconds=int(offset)),
                    "source": source,
                    "action": action,
                    "title": str(rng.choice(titles)),
                    "category": category,
                    "item_id": f"{category}-{rng.integers(9)}",
                    "place": PLACES[rng.integers(len(PLACES))],
                    "price": float(rng.integers(1, 100)),
                    "quantity": 1.0,
                }
            )
    return to_events(rows)


def to_events(rows):
    """Rows as dicts, absent fields null, to a frame in the event schema."""
    full = [{name: row.get(name) for name in schema.EVENT_SCHEMA.names} for row in rows]
    text = dict.fromkeys(schema.EVENT_SCHEMA.names, pl.String)
    types = {**text, "time": pl.Datetime("ms"), "price": pl.Float32, "quantity": pl.Float32}
    return pl.DataFrame(full, schema=types).sort("user_id", "time", maintain_order=True)


def to_log(events):
    """A coded log of a shop from rows of user, hours, action, title and perhaps quantity; an item's id is its title."""
    rows = [
        {
            "user_id": user,
            "time": AS_OF + datetime.timedelta(hours=hours),
            "source": "ecommerce",
            "action": action,
            "title": title,
            "item_id": title,
            "quantity": quantity[0] if quantity else None,
        }
        for user, hours, action, title, *quantity in events
    ]
    return coded.code(to_events(rows).to_arrow())


@pytest.fixture
def events():
    return make_events()


@pytest.fixture
def event_rows():
    return to_events


@pytest.fixture
def log_of():
    return to_log


@pytest.fixture
def more_events():
    return make_events


@pytest.fixture
def tokenizer():
    return CharTokenizer()


@pytest.fixture
def run_config(semantize_config):
    """The config of a run as far as semantizing reads it; keywords change its section `semantize`."""

    def make(folder, **changes):
        section = {key: getattr(semantize_config(), key) for key in semantize_config().__dataclass_fields__}
        config = get_config()
        config.run_dir = str(folder)
        config.semantize = ConfigDict({**section, "max_mub_tokens": 200, **changes})
        config.tokenizer = ConfigDict({"kind": "sentencepiece", "path": "", "vocab_size": 700, "max_piece_chars": 32})
        return config

    return make


@pytest.fixture
def semantize_config():
    def make(**changes):
        values = {
            "as_of": "2025-07-01",
            "recent_days": 7,
            "monthly_months": 3,
            "distant_actions": ("purchase", "visit"),
            "top_k": 8,
            "top_places": 2,
            "attribute_kinds": ("price_band", "size", "audience"),
            "max_attributes": 1,
            "min_band_purchases": 5,
            "max_repeats_a_day": 20,
            "max_browsing_a_day": 2000,
            "max_mub_tokens": 4000,
            "keep_state": False,
            "workers": 2,
        }
        return SemantizeConfig(**{**values, **changes})

    return make
