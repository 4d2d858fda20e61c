"""Leakage probe: how far a linear model on bags of categories gets with each tag.

A tag that such a model solves needs no reading of the log; one where it does no better than the majority may not be in
the log at all. Features are log(1 + count) of each (category, action); place tags, whose evidence are places and not
goods, also get the count of each city and province that places name. Interests are asked one by one (held or not) and
averaged.
"""

import pathlib
import warnings
from typing import NamedTuple

import numpy as np
import polars as pl
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import MaxAbsScaler

from usergpt_jax import gazetteer, schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.schema import NA
from usergpt_jax.simulate.fidelity.log import Log
from usergpt_jax.tags import HPR18

SOLVED = 0.98
PLACE_TAGS = ("resident_province", "resident_city", "city_tier", "hometown_province", "mobility_status")
MIN_USERS = 40  # with the tag, below which nothing is asked
_MIN_VALUE_USERS = 4  # values of fewer users are left out: they can hardly stand in both halves
_TEST_FRAC = 0.3
_C = 10.0  # inverse L2 strength on features scaled to at most 1


class Probe(NamedTuple):
    """What the linear model reached on one tag.

    Attributes:
      tag: name of the tag.
      accuracy: on held-out users; of interests, balanced accuracy averaged over interests.
      majority: accuracy of always naming the most frequent value; of interests, 0.5.
      n_users: users with the tag that were asked.
      n_values: values, or interests, among them.
      verdict: "ok", "SOLVED", "CHANCE", or "-" where too few users have the tag.
    """

    tag: str
    accuracy: float
    majority: float
    n_users: int
    n_values: int
    verdict: str


def probe(log: Log, users: pathlib.Path, locale: str, seed: int = 0) -> list[Probe]:
    """The probe of all 18 tags on the users of a simulated run.

    Args:
      log: the events.
      users: the run's `users.parquet`.
      locale: whose cities the places name.
      seed: of the split into training and test users.

    Raises:
      InputError: the file lacks a tag or a user of the log.
    """
    truth = read_truth(users, log.user.values)
    goods, places = bag(log), bag(log, locale)
    rng = np.random.default_rng(seed)
    held_out = rng.random(log.n_users) < _TEST_FRAC
    found = []
    for tag in HPR18.names:
        features = places if tag in PLACE_TAGS else goods
        values = truth[tag].to_numpy()
        found.append((_ask_list if HPR18[tag].max_items > 1 else _ask)(tag, features, values, held_out))
    return found


def read_truth(path: pathlib.Path, user_ids: tuple[str, ...]) -> pl.DataFrame:
    """The tags of the users of a log, in its order."""
    try:
        table = pl.read_parquet(path, columns=["user_id", *HPR18.names])
    except FileNotFoundError:
        raise InputError(f"{path} is missing: the probe needs the truth of a simulated run") from None
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: expected user_id and the 18 tags: {str(error).splitlines()[0]}") from None
    asked = pl.DataFrame({"user_id": list(user_ids)}, schema={"user_id": pl.String})
    joined = asked.join(table.with_columns(pl.col("user_id").cast(pl.String)), on="user_id", how="left",
                        maintain_order="left")  # fmt: skip
    if joined[HPR18.names[0]].null_count():
        absent = joined.filter(pl.col(HPR18.names[0]).is_null())["user_id"][0]
        raise InputError(f"{path}: user {absent!r} of the log has no row; expected the truth of every user")
    return joined


def bag(log: Log, locale: str = "") -> scipy.sparse.csr_array:
    """log(1 + count) of each (category, action), with a locale of cities and provinces too, scaled to 1 [U, F]."""
    known = log.category.number >= 0
    n_actions = len(schema.ACTIONS)
    column = log.category.number[known].astype(np.int64) * n_actions + log.action[known]
    parts = [_counts(log.user.number[known], column, log.n_users, len(log.category.values) * n_actions)]
    if locale:
        cities = [gazetteer.city_in(place, locale) for place in log.place.values]
        for names in ([city and city.name for city in cities], [city and city.province for city in cities]):
            held = sorted({name for name in names if name})
            number = np.array([held.index(name) if name else -1 for name in names] + [-1])[log.place.number]
            parts.append(_counts(log.user.number[number >= 0], number[number >= 0], log.n_users, len(held)))
    counted = scipy.sparse.csr_array(scipy.sparse.hstack(parts))
    counted = counted[:, np.flatnonzero(counted.astype(bool).sum(axis=0) >= 2)]  # seen with two users at least
    if not counted.shape[1]:
        raise InputError(f"the leakage probe needs a category that two users share; the log has {log.n_users} users")
    counted.data = np.log1p(counted.data)
    return MaxAbsScaler().fit_transform(counted)


def verdict_of(accuracy: float, majority: float, n_tested: int) -> str:
    """Gives "SOLVED" above 0.98, "CHANCE" within two standard errors of the majority or below it, else "ok"."""
    if accuracy > SOLVED:
        return "SOLVED"
    error = np.sqrt(majority * (1 - majority) / max(n_tested, 1))
    return "CHANCE" if accuracy <= majority + 2 * error else "ok"


def _counts(user: np.ndarray, column: np.ndarray, n_users: int, n_columns: int) -> scipy.sparse.csr_array:
    key, count = np.unique(user.astype(np.int64) * max(n_columns, 1) + column, return_counts=True)
    shape = (n_users, max(n_columns, 1))
    return scipy.sparse.csr_array((count.astype(np.float64), (key // shape[1], key % shape[1])), shape=shape)


def _fit(features: scipy.sparse.csr_array, values: np.ndarray, balanced: bool) -> LogisticRegression:
    model = LogisticRegression(C=_C, max_iter=150, class_weight="balanced" if balanced else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe need not be at its optimum
        return model.fit(features, values)


def _ask(tag: str, features: scipy.sparse.csr_array, values: np.ndarray, held_out: np.ndarray) -> Probe:
    names, number, count = np.unique(values, return_inverse=True, return_counts=True)
    asked = (values != NA) & (count[number] >= _MIN_VALUE_USERS)
    train, test = np.flatnonzero(asked & ~held_out), np.flatnonzero(asked & held_out)
    if asked.sum() < MIN_USERS or not len(test) or len(np.unique(values[train])) < 2:
        return Probe(tag, float("nan"), float("nan"), int(asked.sum()), len(np.unique(values[asked])), "-")
    model = _fit(features[train], values[train], balanced=False)
    accuracy = float(np.mean(model.predict(features[test]) == values[test]))
    most = names[np.bincount(number[train], minlength=len(names)).argmax()]
    majority = float(np.mean(values[test] == most))
    verdict = verdict_of(accuracy, majority, len(test))
    return Probe(tag, accuracy, majority, int(asked.sum()), len(np.unique(values[asked])), verdict)


def _ask_list(tag: str, features: scipy.sparse.csr_array, values: np.ndarray, held_out: np.ndarray) -> Probe:
    """Each value of a list tag as a question of its own; the error is that of the mean over values."""
    asked = values != NA
    lists = [set(text.split(", ")) for text in values]
    train, test = np.flatnonzero(asked & ~held_out), np.flatnonzero(asked & held_out)
    scores = []
    for value in sorted(set().union(*(lists[i] for i in np.flatnonzero(asked)))):
        holds = np.array([value in words for words in lists])
        if min(holds[train].sum(), holds[test].sum(), (~holds[train]).sum(), (~holds[test]).sum()) < _MIN_VALUE_USERS:
            continue
        model = _fit(features[train], holds[train], balanced=True)
        scores.append(balanced_accuracy_score(holds[test], model.predict(features[test])))
    if asked.sum() < MIN_USERS or len(scores) < 2:
        return Probe(tag, float("nan"), 0.5, int(asked.sum()), len(scores), "-")
    accuracy, error = float(np.mean(scores)), float(np.std(scores) / np.sqrt(len(scores)))
    verdict = "SOLVED" if accuracy > SOLVED else "CHANCE" if accuracy <= 0.5 + 2 * error else "ok"
    return Probe(tag, accuracy, 0.5, int(asked.sum()), len(scores), verdict)
