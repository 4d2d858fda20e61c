"""Predictors without a language model: majority, rule, and linear models on bags of words.

Each is trained on the truth of the users of the split "sft" and predicts every tag of the benchmark's users. Its
prediction is written as the outputs of a model that always answers the same, so everything is scored by one path.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from usergpt_jax.schema import NA, Tag, TagSchema
from usergpt_jax.tasks import rules, summary, tag_prediction
from usergpt_jax.tasks.similarity import Similarity, similarity

Values = dict[str, str]  # tag name to value
MAX_ITERATIONS = 1000
TOLERANCE = 1e-3
# A constant list is sought among so many of the most frequent ones: scoring all of them takes minutes.
_LIST_CANDIDATES = 10
# An item of a list is predicted from this probability on; which one, is chosen on held-out training users.
_THRESHOLDS = (0.2, 0.3, 0.4, 0.5)
_HELD_OUT_FRAC = 0.2


def majority(
    schema: TagSchema, train: Sequence[Mapping[str, str]], n_users: int, similar: Similarity = similarity
) -> list[Values]:
    """The most frequent label of each tag for everyone; of a list tag, the label with the most credit on `train`."""
    constant = {tag.name: _best_constant(tag, [gold[tag.name] for gold in train], similar) for tag in schema.tags}
    return [constant] * n_users


def rule(schema: TagSchema, mubs: Sequence[str]) -> list[Values]:
    """RULE(U), the lexicon's reading of each MUB."""
    return [rules.predict(mub, schema) for mub in mubs]


def linear(
    schema: TagSchema,
    x: np.ndarray,
    train: Sequence[Mapping[str, str]],
    x_test: np.ndarray,
    *,
    c: float,
    label: str,
    similar: Similarity = similarity,
) -> list[Values]:
    """Multinomial logistic regression a tag; a list tag takes one binary regression an item.

    Args:
      schema: the tags.
      x: Float[U W] features of the training users.
      train: their labels.
      x_test: Float[V W] features of the users to predict.
      c: inverse strength of the L2 penalty, above 0.
      label: of the progress bar.
      similar: compares items of open lists, where the threshold of a list is chosen.
    """
    by_tag = {}
    with threadpool_limits(1):  # sums in one order on every machine, and no quarrel over cores: these are small
        for tag in tqdm(schema.tags, desc=label, unit="tag"):
            labels = [gold[tag.name] for gold in train]
            if tag.max_items > 1:
                by_tag[tag.name] = _linear_list(tag, x, labels, x_test, c, similar)
            else:
                by_tag[tag.name] = _linear_tag(x, labels, x_test, c)
    return [{tag.name: by_tag[tag.name][i] for tag in schema.tags} for i in range(len(x_test))]


def as_outputs(schema: TagSchema, values: Values) -> tuple[list[str], str]:
    """The outputs of a model that answers `values`: one a tag, and the summary's."""
    answers = [tag_prediction.target(tag, values[tag.name], "") for tag in schema.tags]
    return answers, summary.target(schema, values, "")


def _best_constant(tag: Tag, labels: Sequence[str], similar: Similarity) -> str:
    ranked = [label for label, _ in sorted(Counter(labels).items(), key=lambda item: (-item[1], item[0]))]
    if tag.max_items == 1:
        return ranked[0]

    def credit(label: str) -> float:
        return sum(tag_prediction.score(tag, label, gold, similar) for gold in labels)

    return max(ranked[:_LIST_CANDIDATES], key=credit)


def _linear_tag(x: np.ndarray, labels: Sequence[str], x_test: np.ndarray, c: float) -> list[str]:
    if len(set(labels)) == 1:
        return [labels[0]] * len(x_test)
    return _regression(c).fit(x, labels).predict(x_test).tolist()


def _linear_list(
    tag: Tag, x: np.ndarray, labels: Sequence[str], x_test: np.ndarray, c: float, similar: Similarity
) -> list[str]:
    """One regression an item, NA being one; the threshold is the best of `_THRESHOLDS` on held-out training users."""
    held_out = max(1, int(len(labels) * _HELD_OUT_FRAC))
    probabilities = _item_probabilities(x[held_out:], labels[held_out:], x[:held_out], c)

    def credit(threshold: float) -> float:
        guesses = _lists(tag, probabilities, threshold)
        pairs = zip(guesses, labels[:held_out], strict=True)
        return sum(tag_prediction.score(tag, guess, gold, similar) for guess, gold in pairs)

    threshold = max(_THRESHOLDS, key=credit)
    return _lists(tag, _item_probabilities(x, labels, x_test, c), threshold)


def _item_probabilities(x: np.ndarray, labels: Sequence[str], x_test: np.ndarray, c: float) -> dict[str, np.ndarray]:
    """Item to Float[V], the chance that a user's list holds it."""
    listed = [set(tag_prediction.items_of(label)) for label in labels]
    found = {}
    for item in sorted(set().union(*listed)):
        y = np.array([item in items for items in listed])
        found[item] = np.ones(len(x_test)) if y.all() else _regression(c).fit(x, y).predict_proba(x_test)[:, 1]
    return found


def _lists(tag: Tag, probabilities: Mapping[str, np.ndarray], threshold: float) -> list[str]:
    """The likeliest items above the threshold, at least one; NA where that is the likeliest of all."""
    names = list(probabilities)
    predictions = []
    for row in np.stack([probabilities[name] for name in names], axis=-1):
        ranked = [names[i] for i in np.argsort(-row, kind="stable")]
        if ranked[0] == NA:
            predictions.append(NA)
            continue
        chance = dict(zip(names, row, strict=True))
        kept = [name for name in ranked if name != NA and chance[name] >= threshold]
        predictions.append(", ".join((kept or ranked[:1])[: tag.max_items]))
    return predictions


def _regression(c: float) -> LogisticRegression:
    return LogisticRegression(C=c, max_iter=MAX_ITERATIONS, tol=TOLERANCE)
