"""Classifier two-sample test: how well a classifier tells two samples apart; 0.5 means not at all."""

import numpy as np
from jaxtyping import Float, Int
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

KINDS = ("logistic", "boosting")
MAX_ROWS = 10_000  # of each sample


def auc(
    one: Float[np.ndarray, "M K"],
    other: Float[np.ndarray, "N K"],
    group_one: Int[np.ndarray, " M"],
    group_other: Int[np.ndarray, " N"],
    kind: str,
    seed: int = 0,
) -> float:
    """Area under the ROC curve of a classifier trained on half of the groups and asked about the other half.

    Args:
      one: features of the first sample; NaN where a value is missing.
      other: features of the second sample.
      group_one: the user of each row, so that no user is both trained on and asked about.
      group_other: the same of the second sample.
      kind: "logistic" (missing values become the mean) or "boosting".
      seed: of the subsample and the split.

    Returns:
      NaN where one of the four parts is empty.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for label, features, group in ((1, one, group_one), (0, other, group_other)):
        rows = np.arange(len(features))
        if len(rows) > MAX_ROWS:
            rows = rng.choice(len(features), MAX_ROWS, replace=False)
        _, number = np.unique(group[rows], return_inverse=True)
        held = rng.permutation(number.max() + 1 if len(number) else 0)[number] % 2 == 0
        parts.append((features[rows], np.full(len(rows), label), held))
    features, label, held = (np.concatenate([part[i] for part in parts]) for i in range(3))
    if len(np.unique(label[held])) < 2 or len(np.unique(label[~held])) < 2:
        return float("nan")
    known = ~np.isnan(features[held]).all(axis=0)
    features = features[:, known]
    if kind == "logistic":
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=500))
        means = np.nanmean(features[held], axis=0)
        features = np.where(np.isnan(features), means, features)
    else:
        model = HistGradientBoostingClassifier(max_iter=60, class_weight="balanced", random_state=seed)
    model.fit(features[held], label[held])
    return float(roc_auc_score(label[~held], model.predict_proba(features[~held])[:, 1]))
