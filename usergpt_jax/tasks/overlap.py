"""Overlap of short texts by words: ROUGE-N and ROUGE-L as F1."""

import collections
from collections.abc import Sequence


def rouge_n(predicted: str, gold: str, n: int) -> float:
    """F1 of the multisets of n-grams of lower-cased words.

    For example "red wool coat" against "wool coat" with n = 1: precision 2/3, recall 1, so 4/5.
    """
    ours, right = _ngrams(predicted.lower().split(), n), _ngrams(gold.lower().split(), n)
    return _f1(sum((ours & right).values()), sum(ours.values()), sum(right.values()))


def rouge_l(predicted: str, gold: str) -> float:
    """F1 of the longest common subsequence of lower-cased words.

    For example "a b c d" against "b d a": the longest is "b d", precision 2/4, recall 2/3, so 4/7.
    """
    ours, right = predicted.lower().split(), gold.lower().split()
    return _f1(_longest_common(ours, right), len(ours), len(right))


def _f1(matched: int, ours: int, right: int) -> float:
    return 2 * matched / (ours + right) if matched else float(not ours and not right)


def _ngrams(words: Sequence[str], n: int) -> collections.Counter[tuple[str, ...]]:
    return collections.Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _longest_common(ours: Sequence[str], right: Sequence[str]) -> int:
    row = [0] * (len(right) + 1)
    for word in ours:
        diagonal = 0
        for j, other in enumerate(right, start=1):
            diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
    return row[-1]
