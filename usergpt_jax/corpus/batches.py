"""grain pipelines: from curriculum records to batches of trees, shuffled, repeated and resumable."""

import dataclasses
from collections.abc import Sequence
from typing import Any, SupportsIndex

import grain
import numpy as np

from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import Tokenizer
from usergpt_jax.corpus.trees import TreeBatch, TreeShape, encode_branch, encode_trunk, tree_of
from usergpt_jax.schema import Question, TagSchema, UserTree
from usergpt_jax.tasks import summary, tag_prediction
from usergpt_jax.tasks.wording import PromptConfig


@dataclasses.dataclass(frozen=True)
class Encoder:
    """Turns trees of texts into trees of tokens.

    Attributes:
      tokenizer: of the run.
      schema: the tags that questions ask about.
      prompt: how questions are worded.
    """

    tokenizer: Tokenizer
    schema: TagSchema
    prompt: PromptConfig

    def question(self, question: Question) -> str:
        """The wording of a question."""
        if question.task == summary.NAME:
            return summary.prompt()
        return tag_prediction.prompt(self.schema[question.tag], self.prompt)

    def branch(self, question: Question) -> tuple[list[int], int]:
        """Ids of question and output, and the question's length."""
        return encode_branch(self.tokenizer, self.question(question), question.output)

    def tree(self, tree: UserTree, shape: TreeShape) -> TreeBatch:
        """One padded tree."""
        trunk = encode_trunk(self.tokenizer, tree.mub, shape.trunk_tokens)
        return tree_of(self.tokenizer, trunk, [self.branch(question) for question in tree.questions], shape)


class TaskTrees(Sequence[UserTree]):
    """The trees of one task, cut so that none has more than G branches; branches that are too long are left out.

    Attributes:
      task: name of the task.
      n_too_long: branches left out because they are longer than R.
      first_output: tokens of the shortest question.
    """

    def __init__(self, trees: Sequence[UserTree], task: str, encoder: Encoder, shape: TreeShape):
        self._trees, self.task = trees, task
        self._label = f"{trees!r}:{task}:{shape}"
        self._index: list[tuple[int, tuple[int, ...]]] = []
        self.n_too_long, self.first_output = 0, shape.branch_tokens
        for i in range(len(trees)):
            fitting = []
            for j, question in enumerate(trees[i].questions):
                if question.task != task:
                    continue
                ids, start = encoder.branch(question)
                self.first_output = min(self.first_output, start)
                if len(ids) > shape.branch_tokens:
                    self.n_too_long += 1
                else:
                    fitting.append(j)
            for start in range(0, len(fitting), shape.branches):
                self._index.append((i, tuple(fitting[start : start + shape.branches])))

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: SupportsIndex) -> UserTree:  # type: ignore[override]
        i, chosen = self._index[int(index)]
        tree = self._trees[i]
        return dataclasses.replace(tree, questions=tuple(tree.questions[j] for j in chosen))

    def __repr__(self) -> str:  # grain keeps it beside its state
        return f"TaskTrees({self._label})"


@dataclasses.dataclass(frozen=True)
class Bucket:
    """One kind of batch: the trees of a task, padded to one shape, `batch_users` at a time, drawn by `weight`."""

    trees: TaskTrees
    shape: TreeShape
    batch_users: int
    weight: float


def batch_iterator(buckets: Sequence[Bucket], encoder: Encoder, seed: int) -> grain.DatasetIterator[TreeBatch]:
    """Endless batches; each is of one bucket, buckets alternate by weight, each epoch is shuffled anew.

    The iterator's state (`get_state`, `set_state`) is JSON-ready; a restored iterator yields what the first would have.

    Raises:
      InputError: no bucket holds a full batch.
    """
    filled = [bucket for bucket in buckets if len(bucket.trees) >= bucket.batch_users]
    if not filled:
        sizes = ", ".join(f"{len(bucket.trees)} trees for batches of {bucket.batch_users}" for bucket in buckets)
        raise InputError(f"not enough training data: {sizes}")
    datasets = [_bucket_dataset(bucket, encoder, seed + i) for i, bucket in enumerate(filled)]
    mixed = grain.MapDataset.mix(datasets, weights=[bucket.weight for bucket in filled])
    return iter(mixed.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)))


def _bucket_dataset(bucket: Bucket, encoder: Encoder, seed: int) -> Any:
    source = grain.MapDataset.source(bucket.trees).seed(seed).shuffle().repeat()
    trees = source.map(lambda tree: encoder.tree(tree, bucket.shape))
    return trees.batch(bucket.batch_users, drop_remainder=True, batch_fn=_stack)


def _stack(trees: Sequence[TreeBatch]) -> TreeBatch:
    return TreeBatch(*(np.stack(arrays) for arrays in zip(*trees, strict=True)))
