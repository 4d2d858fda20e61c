"""Teachers: they see a user's MUB and nothing else, and answer each tag with a reasoning that cites lines.

Paper: §3.3 (two teachers of about 30B answer, a 235B one re-synthesises). Differs from the paper: these are programs.
`Analyst` reads with the lexicon. `Learner`s, naive Bayes and the stronger ridge regression, have learnt from labelled
users, never from the user they answer for.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import scipy.sparse
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import BernoulliNB

from usergpt_jax.schema import NA, Tag, TagSchema
from usergpt_jax.tasks import rules, tag_prediction
from usergpt_jax.tasks.evidence import Citation, cite, core
from usergpt_jax.tasks.rules import Sighting

MAX_CITED = 1
_MIN_USERS_PER_ITEM = 5
_RIDGE = 30.0  # the best of 3, 10, 30, 100 in cross-fitted accuracy
_SHARPNESS = 3.0  # how much surer than its linear estimate the expert answers


class Answers(Protocol):
    """A teacher's answers to one tag for a list of users."""

    def sample(self, rng: np.random.Generator) -> list[str]:
        """One value a user, drawn from the teacher's belief."""
        ...

    def think(self, user: int, value: str) -> str:
        """The reasoning for a value: at most `MAX_CITED` citations, strongest first; "" when nothing speaks for it."""
        ...


class Analyst:
    """Believes each value in proportion to exp(support / temperature), NA with the support that the rules ask for."""

    def __init__(self, mubs: Sequence[str], schema: TagSchema, temperature: float):
        self._found = [rules.support(mub, schema) for mub in mubs]
        self._decided = [rules.decide(found, schema) for found in self._found]
        self._temperature = temperature

    def answers(self, tag: Tag) -> "AnalystAnswers":
        """Answers to one tag, for the users it was made with."""
        supports = [found[tag.name] for found in self._found]
        derived = [decided[tag.name] for decided in self._decided]
        return AnalystAnswers(tag, supports, derived, self._temperature)


class AnalystAnswers:
    """See `Analyst`."""

    def __init__(self, tag: Tag, supports: list[dict[str, rules.Support]], derived: list[str], temperature: float):
        self._tag, self._supports, self._derived, self._temperature = tag, supports, derived, temperature

    def sample(self, rng: np.random.Generator) -> list[str]:
        """See `Answers.sample`."""
        return [self._one(found, decided, rng) for found, decided in zip(self._supports, self._derived, strict=True)]

    def _one(self, found: dict[str, rules.Support], decided: str, rng: np.random.Generator) -> str:
        names = sorted(found)
        scores = np.array([found[name].score for name in names])
        if self._tag.max_items > 1:
            chances = 1 / (1 + np.exp((rules.MIN_SCORE - scores) / self._temperature))
            return _list_value(names, chances, rng, self._tag.max_items)
        if not names:
            return decided  # by another tag's evidence, or NA
        logits = np.append(scores, rules.MIN_SCORE) / self._temperature
        return [*names, NA][int(np.argmax(logits + rng.gumbel(size=len(logits))))]

    def think(self, user: int, value: str) -> str:
        """See `Answers.think`."""
        cited: list[Citation] = []
        for item in tag_prediction.items_of(value):
            support = self._supports[user].get(item)
            cited += support.cited if support else []
        return cite(list(dict.fromkeys(cited))[:MAX_CITED])


class Features:
    """Which items stand in whose MUB, as a sparse 0/1 matrix [U, I], and where."""

    def __init__(self, mubs: Sequence[str]):
        self.sightings = [rules.sightings(mub) for mub in mubs]
        names = [{_feature(s) for s in seen} | rules.price_levels(seen) for seen in self.sightings]
        counts: dict[str, int] = {}
        for found in names:
            for name in found:
                counts[name] = counts.get(name, 0) + 1
        kept = sorted(name for name, count in counts.items() if count >= _MIN_USERS_PER_ITEM)
        self.index = {name: i for i, name in enumerate(kept)}
        rows = [[self.index[name] for name in sorted(found) if name in self.index] for found in names]
        indptr = np.cumsum([0, *map(len, rows)])
        indices = np.array([i for row in rows for i in row], np.int32)
        data = np.ones(len(indices), np.float64)
        self.matrix: Any = scipy.sparse.csr_matrix((data, indices, indptr), shape=(len(rows), len(kept)))

    def cite(self, user: int, weights: np.ndarray) -> list[Citation]:
        """The items of a user that weigh most for a value, each on the first line where it stands."""
        ranked: dict[str, tuple[float, Sighting]] = {}
        for seen in self.sightings[user]:
            weight = weights[self.index[_feature(seen)]] if _feature(seen) in self.index else 0.0
            if weight > 0 and seen.item not in ranked:
                ranked[seen.item] = (weight, seen)
        best = sorted(ranked.values(), key=lambda pair: (-pair[0], pair[1].line))[:MAX_CITED]
        return [Citation(seen.line, seen.item) for _, seen in best]


def _feature(seen: Sighting) -> str:
    """The item without attributes; travel items are destinations, so they are told from places at home."""
    return f"{'Travel: ' if seen.source == 'Travel' else ''}{core(seen.item).lower()}"


class Learner:
    """Naive Bayes or ridge regression over items, cross-fitted: a user's answers come from other users' labels.

    Args:
      model: "bayes" or "ridge".
      features: of all users.
      folds: fold of each user, Int[U].
      n_folds: number of folds.
    """

    def __init__(self, model: str, features: Features, folds: np.ndarray, n_folds: int):
        self._model, self._features, self._folds, self._n_folds = model, features, folds, n_folds

    def answers(self, tag: Tag, labels: Sequence[str]) -> "LearnerAnswers":
        """Answers to one tag, having learnt from `labels` fold by fold."""
        if tag.max_items > 1:
            lists = [[] if label == NA else tag_prediction.items_of(label) for label in labels]
            values = sorted({item for items in lists for item in items})
            targets = np.array([[value in items for value in values] for items in lists])
        else:
            values = sorted(set(labels))
            targets = np.array([[value == label for value in values] for label in labels])
        chances = np.zeros(targets.shape)
        weights = np.zeros((self._n_folds, len(values), self._features.matrix.shape[1]))
        for fold in range(self._n_folds):
            test = self._folds == fold
            if not test.any():
                continue
            fitted = _fit_lists if tag.max_items > 1 else _fit_one
            chances[test], weights[fold] = fitted(
                self._model, self._features.matrix[~test], targets[~test], self._features.matrix[test]
            )
        return LearnerAnswers(tag, values, chances, weights, self._folds, self._features)


class LearnerAnswers:
    """See `Learner`."""

    def __init__(
        self,
        tag: Tag,
        values: list[str],
        chances: np.ndarray,
        weights: np.ndarray,
        folds: np.ndarray,
        features: Features,
    ):
        self._tag, self._values, self._chances = tag, values, chances
        self._weights, self._folds, self._features = weights, folds, features

    def sample(self, rng: np.random.Generator) -> list[str]:
        """See `Answers.sample`."""
        if self._tag.max_items > 1:
            return [_list_value(self._values, row, rng, self._tag.max_items) for row in self._chances]
        with np.errstate(divide="ignore"):
            noisy = np.log(self._chances) + rng.gumbel(size=self._chances.shape)
        return [self._values[i] for i in noisy.argmax(1)]

    def think(self, user: int, value: str) -> str:
        """See `Answers.think`."""
        if value == NA:
            return ""
        items = tag_prediction.items_of(value) if self._tag.max_items > 1 else [value]
        rows = [self._values.index(item) for item in items if item in self._values]
        if not rows:
            return ""
        return cite(self._features.cite(user, self._weights[self._folds[user], rows].max(0)))


def _fit_one(model: str, x: Any, targets: np.ndarray, x_test: Any) -> tuple[np.ndarray, np.ndarray]:
    """Chances [U V] of exclusive values for the test users, and weights [V I] of the items."""
    y = targets.argmax(1)
    present = np.unique(y)
    chances, weights = np.zeros((x_test.shape[0], targets.shape[1])), np.zeros((targets.shape[1], x.shape[1]))
    if len(present) < 2:
        chances[:, present] = 1.0
        return chances, weights
    if model == "bayes":
        fitted: Any = BernoulliNB(alpha=1.0).fit(x, y)
        chances[:, present] = fitted.predict_proba(x_test)
        weights[present] = fitted.feature_log_prob_ - fitted.feature_log_prob_.mean(0)
    else:  # a regression on 0 and 1 estimates the chance itself
        fitted = Ridge(alpha=_RIDGE).fit(x, targets[:, present].astype(float))
        guess = np.maximum(fitted.predict(x_test), 1e-6) ** _SHARPNESS
        chances[:, present] = guess / guess.sum(1, keepdims=True)
        weights[present] = fitted.coef_
    return chances, weights


def _fit_lists(model: str, x: Any, targets: np.ndarray, x_test: Any) -> tuple[np.ndarray, np.ndarray]:
    """The same for values that may hold together: one yes-or-no fit a value."""
    chances, weights = np.zeros((x_test.shape[0], targets.shape[1])), np.zeros((targets.shape[1], x.shape[1]))
    for value in range(targets.shape[1]):
        both = np.stack([~targets[:, value], targets[:, value]], 1)
        one, weight = _fit_one(model, x, both, x_test)
        chances[:, value], weights[value] = one[:, 1], weight[1]
    return chances, weights


def _list_value(names: Sequence[str], chances: np.ndarray, rng: np.random.Generator, max_items: int) -> str:
    """Draws each item by its chance; the likeliest come first; none is NA."""
    drawn = [i for i in np.argsort(-chances, kind="stable") if rng.random() < chances[i]]
    return ", ".join(names[int(i)] for i in drawn[:max_items]) or NA
