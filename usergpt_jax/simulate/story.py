"""One user's story from the files of `1_events/` alone, as Markdown that a person can read and judge.

What matters is told month by month: life events, trips, festivals, the needs that were most active with what came of
them, and the traps, each under a plain label; the rest is summed up. The same files give the same text.
"""

import dataclasses
import datetime
import json
import os
import pathlib
from typing import Any

import polars as pl

from usergpt_jax import locales
from usergpt_jax.core import run_dir
from usergpt_jax.core.errors import InputError
from usergpt_jax.schema import NA
from usergpt_jax.simulate import calendar
from usergpt_jax.tags import HPR18

STAGE = "1_events"
TRAPS = {
    "gift": "gift",
    "proxy": "bought for somebody else",
    "shared_account": "somebody else at the account",
    "misclick": "stray clicks",
    "exploration": "looking around",
    "bait": "misleading title",
    "stale_stage": "habit of a stage that is over",
    "hot_topic": "hot topic",
    "return": "sent back",
}
_NEEDS_A_MONTH = 3
_TRIPS_A_MONTH = 2
_EXAMPLES_A_MONTH = 1
_PLACES_A_MONTH = 3
_TOPICS_A_MONTH = 2
_MAX_NAMES = 8
_MAX_TITLE_CHARS = 40
_AVERAGE = (0.75, 1.25)  # share of the mean number of events that `pick` takes for average


@dataclasses.dataclass(frozen=True)
class Files:
    """What a run's folder says about one user.

    Attributes:
      user: the user's row of users.parquet.
      log: the events with their provenance, a row each, and `name`, how the story calls the item.
      start: first day of the log.
      as_of: day after the last.
      locale: market.
      seed: of the population; decides the hot topics.
    """

    user: dict[str, Any]
    log: pl.DataFrame
    start: datetime.date
    as_of: datetime.date
    locale: str
    seed: int


def tell(run: str | os.PathLike[str], user_id: str) -> str:
    """The story of a user of a run directory.

    Raises:
      InputError: the stage is not there or not complete, has no provenance, or does not know the user.
    """
    files = _read(run, user_id)
    persona = json.loads(files.user["persona"])
    parts = [
        _heading(files, persona),
        _portrait(persona),
        _tags(files.user, persona),
        _timeline(files),
        _trap_table(files.log),
    ]
    return "\n\n".join(parts) + "\n"


def pick(run: str | os.PathLike[str]) -> str:
    """The user with the most life events among those with an average number of events; ties go to the first id.

    Raises:
      InputError: as in `tell`.
    """
    folder = _folder(run)
    counted = _scan(folder, "part").group_by("user_id").len().collect()
    users = pl.read_parquet(folder / "users.parquet", columns=["user_id", "life_events"])
    known = users.join(counted, on="user_id", how="inner").sort("user_id")
    if known.is_empty():
        raise InputError(f"{folder}: no user of users.parquet has events; nothing to tell")
    mean = known["len"].mean()
    ratio = pl.col("len") / mean
    average = known.filter(ratio.is_between(*_AVERAGE))
    if average.is_empty():
        average = known.filter((ratio - 1).abs() == (ratio - 1).abs().min())
    lived = [len(json.loads(text)) for text in average["life_events"]]
    return average["user_id"][lived.index(max(lived))]


def _folder(run: str | os.PathLike[str]) -> pathlib.Path:
    if not pathlib.Path(run).is_dir():
        raise InputError(f"{os.fspath(run)}: no such run directory; expected a folder with {STAGE}/")
    run_dir.read_manifest(run, STAGE)
    folder = pathlib.Path(run) / STAGE
    if not list(folder.glob("provenance-*.parquet")) or not (folder / "users.parquet").is_file():
        raise InputError(f"{folder}: no users.parquet or provenance; only simulated users have a story")
    return folder


def _scan(folder: pathlib.Path, name: str) -> pl.LazyFrame:
    return pl.scan_parquet(folder / f"{name}-*.parquet")


def _read(run: str | os.PathLike[str], user_id: str) -> Files:
    folder = _folder(run)
    config = run_dir.read_manifest(run, STAGE).config
    mine = pl.col("user_id") == user_id
    rows = pl.scan_parquet(folder / "users.parquet").filter(mine).collect().to_dicts()
    if not rows:
        ids = pl.read_parquet(folder / "users.parquet", columns=["user_id"])["user_id"]
        raise InputError(f"{folder}/users.parquet: no user {user_id!r}; it has {ids.min()} to {ids.max()}")
    strings = pl.selectors.categorical().cast(pl.String)
    events = _scan(folder, "part").filter(mine).with_columns(strings).collect()
    reasons = _scan(folder, "provenance").filter(mine).drop("user_id", "event_index").with_columns(strings).collect()
    if len(events) != len(reasons):
        raise InputError(f"{folder}: user {user_id!r} has {len(events)} events and {len(reasons)} rows of provenance")
    log = pl.concat([events, reasons], how="horizontal").with_columns(
        pl.col("time").dt.strftime("%Y-%m").alias("month"),
        (pl.col("quantity") > 0).fill_null(False).alias("ordered"),
    )
    return Files(
        user=rows[0],
        log=_named(log, folder),
        start=datetime.date.fromisoformat(config["simulate"]["start"]),
        as_of=rows[0]["as_of"].date(),
        locale=config["simulate"].get("locale", locales.DEFAULT),
        seed=config["seed"],
    )


def _named(log: pl.DataFrame, folder: pathlib.Path) -> pl.DataFrame:
    """Adds `name`: brand, core entity and one more attribute of a catalogued item, else the title."""
    path = folder / "items.parquet"
    if not path.is_file():
        return log.with_columns(_short(pl.col("title")).alias("name"))
    brand, noun = (pl.col(column).cast(pl.String) for column in ("brand", "core_entity"))
    others = pl.col("attributes").cast(pl.List(pl.String)).list.set_difference(pl.concat_list(brand))
    words = (brand, noun, others.list.get(0, null_on_oob=True))
    items = pl.scan_parquet(path).select(
        pl.col("item_id").cast(pl.String), pl.concat_str(words, separator=" ", ignore_nulls=True).alias("name")
    )
    named = log.join(items.collect().unique("item_id"), on="item_id", how="left", maintain_order="left")
    plain = pl.when(pl.col("name").str.strip_chars() == "").then(None).otherwise(pl.col("name"))
    return named.with_columns(_short(pl.coalesce(plain, "title")).alias("name"))


def _short(text: pl.Expr) -> pl.Expr:
    """Text cut at the last word that fits."""
    whole = text.str.len_chars() <= _MAX_TITLE_CHARS
    return pl.when(whole).then(text).otherwise(text.str.slice(0, _MAX_TITLE_CHARS + 1).str.replace(r"\s\S*$", ""))


def _heading(files: Files, persona: dict[str, Any]) -> str:
    log = files.log
    years = persona["age_days"] // 365.2425
    sessions = log["session"].n_unique()
    orders, visits = log["ordered"].sum(), (log["action"] == "visit").sum()
    returns = (log["cause"] == "return").sum()
    who = f"{'a woman' if persona['gender'] == 'female' else 'a man'} of {years:.0f} in {persona['resident_city']}"
    return (
        f"# {files.user['user_id']}: {who}\n\n"
        f"Simulated from {files.start} to {files.as_of} (locale {files.locale}): {len(log):,} events in {sessions:,} "
        f"sessions, {_count(orders, 'order')}, {_count(visits, 'visit')}, {_count(returns, 'return')}."
    )


def _portrait(persona: dict[str, Any]) -> str:
    def phrase(tag: str) -> str:
        return HPR18[tag].phrases.get(persona[tag], persona[tag])

    lines = [
        f"Born {persona['birth_date']} in {persona['hometown_city']}; {phrase('education')}; works as: "
        f"{persona['occupation']}; {phrase('marital_status')}; {phrase('child_stage')}.",
        f"Lives in {persona['resident_city']}, {persona['resident_province']} ({persona['city_tier']}, "
        f"{persona['activity_zone']}), {phrase('housing_tenure')}; {phrase('pet')}; "
        f"{'has a car' if persona['has_car'] else 'no car'}; {phrase('consumption_level')}.",
    ]
    if "income_cny" in persona:
        lines.append(
            f"Income {persona['income_cny']:,} a year; household of {persona['household_size']} "
            f"({persona['household'].replace('_', ' ')}), {persona['settlement']}."
        )
    if "big_five" in persona:
        traits = ", ".join(f"{name} {score:+.1f}" for name, score in persona["big_five"].items())
        lines.append(f"Big Five (deviations from the mean): {traits}.")
    wishes = persona.get("preferences", {})
    for key, words in (("drawn_to", "Drawn to"), ("averse_to", "Averse to")):
        if wishes.get(key):
            lines.append(f"{words} {_listed(wishes[key], _MAX_NAMES)}.")
    lines.append(f"Interests: {persona['interests'] or 'none'}.")
    if persona["avoided_sources"]:
        lines.append(f"Never uses: {', '.join(persona['avoided_sources'])}.")
    return "## Persona\n\n" + "\n".join(f"- {line}" for line in lines)


def _tags(user: dict[str, Any], persona: dict[str, Any]) -> str:
    """The hidden value of each tag, and whether the log can tell it; only in part for some interests."""
    rows = []
    for tag in HPR18.names:
        told = user[tag]
        seen = "NA: too little in the log" if told == NA else "observable"
        if told not in (NA, persona[tag]):
            seen = f"observable: {told}"
        rows.append(f"| {tag} | {persona[tag]} | {seen} |")
    return "\n".join(("## Truth", "", "| tag | value | log |", "|---|---|---|", *rows))


def _timeline(files: Files) -> str:
    happened = json.loads(files.user["life_events"])
    festivals = _festivals(files)
    by_month = {key[0]: frame for key, frame in files.log.group_by("month", maintain_order=True)}
    home = json.loads(files.user["persona"])["resident_city"]
    lines = ["## Month by month"]
    for month in _months(files.start, files.as_of):
        lived = [event for event in happened if event["date"].startswith(month)]
        facts = {"Life": _life(lived), "Festivals": festivals.get(month, [])}
        log = by_month.get(month)
        if log is not None:
            facts |= {
                "In the news": _hot(files, log),
                "Did": _needs(log),
                "Traps": _traps(log),
                "Places": _places(log, home),
            }
        told = [f"{label}: {'; '.join(words)}." for label, words in facts.items() if words]
        size = "nothing in the log" if log is None else _size(log)
        lines.append(f"**{month}** ({size}). " + " ".join(told))
    return "\n\n".join(lines)


def _life(lived: list[dict[str, str]]) -> list[str]:
    """The life events of a month with their days, only the first of many trips."""
    trips = [event for event in lived if event["event"].startswith("trip to ")]
    told = [f"{event['date'][8:]} {event['event']}" for event in lived if event not in trips[_TRIPS_A_MONTH:]]
    rest = len(trips) - _TRIPS_A_MONTH
    return told + ([f"{_count(rest, 'more trip')}"] if rest > 0 else [])


def _size(log: pl.DataFrame) -> str:
    return f"{_count(len(log), 'event')}, {_count(log['session'].n_unique(), 'session')}"


def _needs(log: pl.DataFrame) -> list[str]:
    """The needs of the month that led to most, then how many others there were."""
    own = log.filter(pl.col("cause").is_in(["need", "routine"]) & pl.col("need").is_not_null())
    active = (
        own.group_by("need")
        .agg(
            pl.col("session").n_unique().alias("sessions"),
            pl.col("ordered").sum().alias("orders"),
            (pl.col("action") == "visit").sum().alias("visits"),
            pl.col("name").filter(pl.col("ordered")).unique(maintain_order=True).alias("bought"),
        )
        .sort(pl.col("orders") + pl.col("visits"), "sessions", "need", descending=[True, True, False])
    )
    told = [_came_of(row) for row in active.head(_NEEDS_A_MONTH).iter_rows(named=True)]
    rest = active.slice(_NEEDS_A_MONTH)
    return told + ([f"{_count(len(rest), 'more need')}"] if len(rest) else [])


def _came_of(row: dict[str, Any]) -> str:
    """A need with its sessions and what came of them, such as `work lunch x3 (2 orders: Lunch Set and 1 more)`."""
    times = f" x{row['sessions']}" if row["sessions"] > 1 else ""
    came = []
    if row["orders"]:
        came.append(f"{_count(row['orders'], 'order')}: {_listed(row['bought'], 1)}")
    if row["visits"]:
        came.append(_count(row["visits"], "visit"))
    return f"{row['need']}{times} ({', '.join(came) or 'browsed'})"


def _traps(log: pl.DataFrame) -> list[str]:
    """The traps of the month with one example for each of the first."""
    told = []
    for row in _trap_counts(log).iter_rows(named=True):
        example = f": {row['example']}" if row["example"] and len(told) < _EXAMPLES_A_MONTH else ""
        told.append(f"{TRAPS[row['cause']]} ({row['sessions']}{example})")
    return told


def _trap_counts(log: pl.DataFrame) -> pl.DataFrame:
    """Sessions of each trap with one thing bought (else looked at), those that left orders first."""
    return (
        log.filter(pl.col("cause").is_in(list(TRAPS)))
        .group_by("cause", maintain_order=True)
        .agg(
            pl.col("session").n_unique().alias("sessions"),
            pl.col("ordered").sum().alias("orders"),
            pl.coalesce(
                pl.col("name").filter(pl.col("action") == "purchase").first(),
                pl.col("name").filter(pl.col("action") != "search").first(),
            ).alias("example"),
        )
        .sort("orders", "sessions", "cause", descending=[True, True, False])
    )


def _places(log: pl.DataFrame, home: str) -> list[str]:
    """Where the user was, the home city's parts summed under its name last."""
    visited = log.filter((pl.col("action") == "visit") & pl.col("place").is_not_null())
    at_home = visited["place"].str.starts_with(home)
    found = (
        visited.with_columns(pl.when(at_home).then(pl.lit(home)).otherwise("place").alias("place"))
        .group_by("place")
        .len()
        .sort(pl.col("place") == home, "len", "place", descending=[False, True, False])
    )
    return [f"{place} ({number})" for place, number in found.head(_PLACES_A_MONTH).iter_rows()]


def _festivals(files: Files) -> dict[str, list[str]]:
    """Names of the festivals and sales of each month, each once."""
    start_day = calendar.epoch_day(files.start)
    n_days = calendar.epoch_day(files.as_of) - start_day
    named = calendar.load(files.locale, start_day, n_days).festival_name
    found: dict[str, list[str]] = {}
    for offset, name in enumerate(named):
        month = f"{files.start + datetime.timedelta(days=offset):%Y-%m}"
        if name and name not in found.setdefault(month, []):
            found[month].append(name)
    return found


def _hot(files: Files, log: pl.DataFrame) -> list[str]:
    """Topics of the days on which the user followed the news."""
    days = log.filter(pl.col("cause") == "hot_topic")["time"].dt.date().unique().sort()
    found: list[str] = []
    for day in map(calendar.epoch_day, days):
        found += calendar.topics(files.locale, files.seed, day, 1).names
    return list(dict.fromkeys(found))[:_TOPICS_A_MONTH]


def _trap_table(log: pl.DataFrame) -> str:
    counted = _trap_counts(log)
    if counted.is_empty():
        return "## Traps\n\nNone."
    rows = [
        f"| {TRAPS[row['cause']]} | {row['sessions']} | {row['orders']} | {row['example'] or ''} |"
        for row in counted.iter_rows(named=True)
    ]
    return "\n".join(("## Traps", "", "| label | sessions | orders | example |", "|---|---|---|---|", *rows))


def _months(start: datetime.date, as_of: datetime.date) -> list[str]:
    last = as_of - datetime.timedelta(days=1)
    numbers = range(start.year * 12 + start.month - 1, last.year * 12 + last.month)
    return [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in numbers]


def _listed(words: list[str], most: int) -> str:
    rest = len(words) - most
    return ", ".join(words[:most]) + (f" and {rest} more" if rest > 0 else "")


def _count(number: Any, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
