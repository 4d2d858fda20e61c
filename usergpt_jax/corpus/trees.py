"""From texts to trees: a user's trunk (role, MUB) and branches (question, output) as padded token arrays.

Example, one user, trunk of 5, two branches of 4; "." is padding, upper case is what the loss counts:

    trunk     [a b c d .]
    branches  [q q X Y]     question "q q", output "X Y"
              [q Z . .]
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import Tokenizer
from usergpt_jax.tasks.wording import number_lines, trunk_head


@dataclasses.dataclass(frozen=True)
class TreeShape:
    """The bucket a tree is padded to.

    Attributes:
      trunk_tokens: P.
      branches: G.
      branch_tokens: R, question and output together.
    """

    trunk_tokens: int
    branches: int
    branch_tokens: int


class TreeBatch(NamedTuple):
    """Padded trees.

    Attributes:
      trunk: Int[B P], right-padded.
      trunk_mask: Bool[B P], true on tokens.
      branches: Int[B G R], right-padded.
      branch_mask: Bool[B G R], true on tokens.
      output_mask: Bool[B G R], true on the tokens of outputs, which the loss counts.
    """

    trunk: np.ndarray
    trunk_mask: np.ndarray
    branches: np.ndarray
    branch_mask: np.ndarray
    output_mask: np.ndarray


def encode_trunk(tokenizer: Tokenizer, mub: str, max_tokens: int) -> list[int]:
    """Ids of the trunk; the last (oldest) MUB lines that do not fit are left out, whole.

    Raises:
      InputError: not even the role fits.
    """
    ids = tokenizer.encode_template(trunk_head())
    if len(ids) > max_tokens:
        raise InputError(f"trunk_tokens={max_tokens} is too short: the role alone takes {len(ids)} tokens")
    for line in number_lines(mub):
        line_ids = tokenizer.encode(line)
        if len(ids) + len(line_ids) > max_tokens:
            break
        ids += line_ids
    return ids


def encode_branch(tokenizer: Tokenizer, question: str, output: str) -> tuple[list[int], int]:
    """Ids of question and output, and how many of them are the question's."""
    question_ids = tokenizer.encode_template(question)
    return question_ids + tokenizer.encode_template(output), len(question_ids)


def pad_rows(rows: Sequence[Sequence[int]], length: int, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Right-pads rows of ids to Int[N length] with a mask that is true on tokens.

    Raises:
      InputError: a row is longer.
    """
    tokens = np.full((len(rows), length), pad_id, np.int32)
    mask = np.zeros((len(rows), length), bool)
    for i, row in enumerate(rows):
        if len(row) > length:
            raise InputError(f"a row of {len(row)} tokens does not fit into {length}")
        tokens[i, : len(row)] = row
        mask[i, : len(row)] = True
    return tokens, mask


def tree_of(
    tokenizer: Tokenizer, trunk_ids: Sequence[int], branches: Sequence[tuple[Sequence[int], int]], shape: TreeShape
) -> TreeBatch:
    """Pads one user's tree to its bucket, without a batch axis.

    Args:
      tokenizer: for its pad id.
      trunk_ids: from `encode_trunk`.
      branches: (ids, question length) from `encode_branch`, at most `shape.branches`; missing ones are all padding.
      shape: the bucket.
    """
    trunk, trunk_mask = pad_rows([trunk_ids], shape.trunk_tokens, tokenizer.pad_id)
    rows = [ids for ids, _ in branches] + [[]] * (shape.branches - len(branches))
    tokens, mask = pad_rows(rows, shape.branch_tokens, tokenizer.pad_id)
    starts = np.array([start for _, start in branches] + [0] * (shape.branches - len(branches)))
    output_mask = mask & (np.arange(shape.branch_tokens)[None] >= starts[:, None])
    return TreeBatch(trunk[0], trunk_mask[0], tokens, mask, output_mask)
