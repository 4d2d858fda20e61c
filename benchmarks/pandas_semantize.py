"""Semantization in plain pandas, from events to the lines before the budget: the peer that `semantize.py` measures.

It shares no code with the stage, so equal text is also a check of the stage. Titles
and places are looked up in a lexicon that is given; counting tokens, the budget, the references and the sizes are left
out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingImports]

SOURCES = {"ecommerce": "E-commerce", "delivery": "Delivery", "travel": "Travel", "poi": "POI", "other": "Other"}
ACTIONS = ("purchase", "visit", "cart", "favorite", "search", "click")  # of one time and source, in this order
ENTITY, CITY, AREA = range(3)
SLICE = ["user_id", "source", "action", "period", "label"]
Config = Mapping[str, Any]  # the section `semantize`


def run(parts: Sequence[str], truth: str, lexicon: str, config: Config, out: str) -> None:
    """Semantizes a log from Parquet to Parquet.

    Args:
      parts: files of the log.
      truth: file with each user's `as_of`.
      lexicon: folder of `titles.parquet` and `places.parquet`.
      config: the section `semantize`.
      out: file of `user_id`, `mub`.
    """
    events = pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
    as_of = pd.read_parquet(truth, columns=["user_id", "as_of"])
    titles, places = (pd.read_parquet(f"{lexicon}/{name}.parquet") for name in ("titles", "places"))
    semantize(events, as_of, titles, places, config).to_parquet(out)


def semantize(
    events: pd.DataFrame, as_of: pd.DataFrame, titles: pd.DataFrame, places: pd.DataFrame, config: Config
) -> pd.DataFrame:
    """One row a user that has lines: `user_id`, `mub` as it is before the budget.

    Args:
      events: a log, each user's events in order of time.
      as_of: `user_id`, `as_of`.
      titles: `title`, `category`, `entity`, `size`, `audience`, `brand`, `dropped`, `title_city`.
      places: `place`, `city`, `area`.
      config: the section `semantize`.
    """
    events = named(events, titles, places)
    bounds, spread = price_bounds(events, config["min_band_purchases"]), users_of_texts(events)
    events = events.merge(as_of, on="user_id")
    events = events[events["time"] < events["as_of"]]
    events = events[~taken_back(events)]
    events = with_band(events, bounds)
    events = damped(in_windows(events, config), config)
    return written(salient(events, spread, config), events)


def named(events: pd.DataFrame, titles: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """Looks up entity, attributes, city and area; a travel event without a place is where its title says."""
    kept = titles.assign(entity=titles["entity"].where(titles["dropped"].isna()))
    events = events.merge(kept.drop(columns="dropped"), on=["title", "category"], how="left")
    events = events.merge(places, on="place", how="left")
    by_title = (events["source"] == "travel") & events["place"].isna()
    events["city"] = events["title_city"].where(by_title, events["city"])
    return events.drop(columns="title_city")


def price_bounds(events: pd.DataFrame, min_purchases: int) -> pd.DataFrame:
    """The nearest-rank 0.2 and 0.8 quantiles of the priced purchases of each entity that has enough of them."""
    sold = events[(events["action"] == "purchase") & events["price"].notna() & events["entity"].notna()]
    sold = sold.sort_values(["entity", "price"])
    by_entity = sold.groupby("entity")["price"]
    rank, n = by_entity.cumcount(), by_entity.transform("size")
    at = [sold.loc[rank == np.floor(share * (n - 1) + 0.5)].set_index("entity")["price"] for share in (0.2, 0.8)]
    bounds = pd.DataFrame({"low": at[0], "high": at[1], "n": by_entity.size()})
    return bounds[(bounds["n"] >= min_purchases) & (bounds["low"] < bounds["high"])].drop(columns="n")


def users_of_texts(events: pd.DataFrame) -> pd.Series:
    """How many users have an event of each entity, city and area."""
    columns = [
        events[["user_id", name]].rename(columns={name: "text"}).dropna().drop_duplicates()
        for name in ("entity", "city", "area")
    ]
    return pd.concat(columns).drop_duplicates().groupby("text").size().rename("n_users")


def taken_back(events: pd.DataFrame) -> pd.Series:
    """Whether an event is a return, or the latest purchase of the same item before one that still stands."""
    item = ("id " + events["item_id"]).fillna("title " + events["title"])
    key = events["user_id"] + " " + item
    bought = events["action"] == "purchase"
    returned = bought & (events["quantity"] < 0)
    concerned = events[bought & key.isin(set(key[returned]))]
    gone, standing = set(events.index[returned]), {}
    for row, of, quantity in zip(concerned.index, key[concerned.index], concerned["quantity"], strict=True):
        if not quantity <= 0:
            standing.setdefault(of, []).append(row)
        elif quantity < 0 and standing.get(of):
            gone.add(standing[of].pop())
    return events.index.to_series().isin(gone)


def with_band(events: pd.DataFrame, bounds: pd.DataFrame) -> pd.DataFrame:
    """Adds `price_band`: "premium" from the upper bound on, "budget" to the lower."""
    events = events.merge(bounds, left_on="entity", right_index=True, how="left")
    premium, budget = events["price"] >= events["high"], events["price"] <= events["low"]
    band = pd.Series(np.select([premium, budget], ["premium", "budget"], ""), events.index)
    return events.assign(price_band=band.where(band != ""))


def in_windows(events: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Keeps recent events and lasting actions, each with its `period` (0 day, 1 month, 2 year) and `label` of time."""
    ends = events["as_of"].drop_duplicates()
    recent = ends - pd.Timedelta(days=config["recent_days"])
    monthly = recent.map(lambda time: time - pd.DateOffset(months=config["monthly_months"]))
    time = events["time"]
    is_recent = time >= events["as_of"].map(dict(zip(ends, recent, strict=True)))
    is_monthly = time >= events["as_of"].map(dict(zip(ends, monthly, strict=True)))
    period = np.select([is_recent, is_monthly], [0, 1], 2)
    events = events.assign(period=period)[is_recent | events["action"].isin(config["distant_actions"])]
    formats = {0: "%Y-%m-%d", 1: "%Y-%m", 2: "%Y"}
    labels = [part["time"].dt.strftime(formats[period]) for period, part in events.groupby("period")]
    return events.assign(label=pd.concat(labels) if labels else "")


def damped(events: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Without the browsing of a robot's day, and without repeats within a day."""
    day = events["time"].dt.normalize()
    browsing = events["action"].isin(["search", "click"])
    robot = browsing & (browsing.groupby([events["user_id"], day]).transform("sum") > config["max_browsing_a_day"])
    repeats = events.groupby(["user_id", day, "action", "title", "category"], dropna=False).cumcount()
    return events[~robot & (repeats < config["max_repeats_a_day"])]


def salient(events: pd.DataFrame, spread: pd.Series, config: Config) -> pd.DataFrame:
    """The Top-K items of each slice, most salient first, as `item`; an entity with its attributes."""
    columns = []
    for kind, name in ((ENTITY, "entity"), (CITY, "city"), (AREA, "area")):
        groups = events.dropna(subset=name).groupby([*SLICE, name], sort=False)["time"]
        counted = groups.agg(frequency="size", latest="max").reset_index()
        columns.append(counted.rename(columns={name: "text"}).assign(kind=kind))
    items = pd.concat(columns, ignore_index=True).merge(spread, left_on="text", right_index=True, how="left")
    items["odd"] = items["n_users"] < 3
    items = items.sort_values(
        [*SLICE, "kind", "frequency", "odd", "n_users", "latest", "text"],
        ascending=[True] * 6 + [False, True, True, False, True],
    )
    limit = np.where((items["kind"] == ENTITY) | (items["source"] == "travel"), config["top_k"], config["top_places"])
    items = items[items.groupby([*SLICE, "kind"]).cumcount() < limit]
    suffix = attributes(events, items, config).rename("suffix")
    items = items.merge(suffix, left_on=[*SLICE, "text"], right_index=True, how="left")
    is_entity = items["kind"] == ENTITY
    return items.assign(item=items["text"].where(~is_entity, items["text"] + items["suffix"].fillna("")))


def attributes(events: pd.DataFrame, items: pd.DataFrame, config: Config) -> pd.Series:
    """Suffix " (a; b)" of each entity of a slice: of each kind the commonest word, if half of the events carry it."""
    key = [*SLICE, "entity"]
    entities = items[items["kind"] == ENTITY].rename(columns={"text": "entity"})[[*key, "frequency"]]
    chosen = []
    for position, kind in enumerate(config["attribute_kinds"]):
        groups = events.dropna(subset=["entity", kind]).groupby([*key, kind], sort=False)["time"]
        words = groups.agg(n="size", latest="max").reset_index().merge(entities, on=key)
        words = words[2 * words["n"] >= words["frequency"]].sort_values(
            ["n", "latest", kind], ascending=[False, False, True]
        )
        best = words.drop_duplicates(key).rename(columns={kind: "word"})
        chosen.append(best[[*key, "word"]].assign(position=position))
    words = pd.concat(chosen).sort_values("position", kind="stable")
    words = words[words.groupby(key).cumcount() < config["max_attributes"]]
    return " (" + words.groupby(key)["word"].agg("; ".join) + ")"


def written(items: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """Lines of each user: most recent first, then by source and action."""
    lines = items.groupby(SLICE, sort=False)["item"].agg(", ".join).rename("items").reset_index()
    lines = lines.merge(events.groupby(SLICE).size().rename("count").reset_index(), on=SLICE)
    lines["source_order"] = lines["source"].map({name: i for i, name in enumerate(SOURCES)})
    lines["action_order"] = lines["action"].map({name: i for i, name in enumerate(ACTIONS)})
    lines = lines.sort_values(
        ["user_id", "period", "label", "source_order", "action_order"], ascending=[True, True, False, True, True]
    )
    fields = {
        "Source": lines["source"].map(SOURCES),
        "TIME": lines["label"],
        "TYPE": lines["action"].str.capitalize(),
        "COUNT": lines["count"].astype(str),
    }
    header = pd.Series("", lines.index).str.cat([f"[{name}: " + field + "] " for name, field in fields.items()])
    text = header + "| " + lines["items"]
    return text.groupby(lines["user_id"]).agg("\n".join).rename("mub").reset_index()
