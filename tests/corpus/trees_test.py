import numpy as np
import pytest

from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.batches import Bucket, Encoder, TaskTrees, batch_iterator
from usergpt_jax.corpus.records import TreeSource, write_trees
from usergpt_jax.corpus.split import SplitConfig, split_of
from usergpt_jax.corpus.trees import TreeShape, encode_trunk, pad_rows, tree_of
from usergpt_jax.schema import Question, UserTree
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks.wording import PromptConfig


class LetterTokenizer:
    """One id a character: enough to count."""

    vocab_size, pad_id, end_id = 0x110000, 0, 1

    def encode(self, text):
        return [ord(letter) for letter in text]

    encode_template = encode

    def decode(self, ids):
        return "".join(map(chr, ids))

    def save(self, folder):
        raise AssertionError


ENCODER = Encoder(LetterTokenizer(), HPR18, PromptConfig(list_options=False))


def question(tag="gender", output="x"):
    return Question("tags", tag, output, "male")


def test_a_tree_is_padded_and_only_outputs_count():
    # The example of the module's docstring.
    tree = tree_of(LetterTokenizer(), [5, 6, 7, 8], [([2, 2, 3, 4], 2), ([2, 9], 1)], TreeShape(5, 2, 4))
    assert tree.trunk.tolist() == [5, 6, 7, 8, 0]
    assert tree.trunk_mask.tolist() == [True] * 4 + [False]
    assert tree.branches.tolist() == [[2, 2, 3, 4], [2, 9, 0, 0]]
    assert tree.output_mask.tolist() == [[False, False, True, True], [False, True, False, False]]


def test_lines_that_do_not_fit_a_trunk_are_left_out_whole_from_the_end():
    head = len(encode_trunk(LetterTokenizer(), "", 1000))
    assert len(encode_trunk(LetterTokenizer(), "aaa\nbbb\nccc", head + 2 * len("\nL1 aaa") + 3)) == head + 14


def test_a_trunk_too_short_for_the_role_is_refused():
    with pytest.raises(InputError, match="the role alone takes"):
        encode_trunk(LetterTokenizer(), "", 3)


def test_a_row_that_is_too_long_is_refused_not_cut():
    with pytest.raises(InputError, match="3 tokens does not fit into 2"):
        pad_rows([[1, 2, 3]], 2, 0)


def test_records_come_back_from_disk(tmp_path):
    trees = [UserTree(f"u{i}", f"line {i}", (question(), question("pet"))[: i % 3]) for i in range(20)]
    write_trees(tmp_path, {"stage1": trees, "rl": trees[:1]})
    source = TreeSource(tmp_path, "stage1")
    assert {tree.user_id: tree for tree in source} == {tree.user_id: tree for tree in trees}
    with pytest.raises(InputError, match="no split 'nope'"):
        TreeSource(tmp_path, "nope")


def many_trees(n):
    return [UserTree(f"u{i}", f"m{i}", tuple(question(output=str(j)) for j in range(i % 4))) for i in range(n)]


def test_trees_are_cut_into_buckets_and_long_branches_counted():
    trees = [UserTree("u", "m", (question(), question(), question(output="y" * 500), question()))]
    cut = TaskTrees(trees, "tags", ENCODER, TreeShape(400, 2, 100))
    assert [len(tree.questions) for tree in cut] == [2, 1]
    assert cut.n_too_long == 1


def test_a_restored_iterator_yields_what_the_first_would_have():
    shape = TreeShape(400, 2, 100)
    trees = TaskTrees(many_trees(30), "tags", ENCODER, shape)
    buckets = [Bucket(trees, shape, 4, 0.5), Bucket(trees, TreeShape(400, 2, 120), 2, 0.5)]
    first = batch_iterator(buckets, ENCODER, seed=0)
    for _ in range(5):
        next(first)
    state = first.get_state()
    second = batch_iterator(buckets, ENCODER, seed=0)
    second.set_state(state)
    for _ in range(30):
        a, b = next(first), next(second)
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_every_tree_comes_once_an_epoch_and_epochs_differ():
    shape = TreeShape(400, 1, 100)
    trees = TaskTrees([UserTree(f"u{i}", f"m{i}", (question(),)) for i in range(12)], "tags", ENCODER, shape)
    batches = batch_iterator([Bucket(trees, shape, 4, 1.0)], ENCODER, seed=0)
    epochs = [np.concatenate([next(batches).trunk for _ in range(3)]) for _ in range(2)]
    assert all(len(np.unique(epoch, axis=0)) == 12 for epoch in epochs)
    assert not np.array_equal(*epochs)


def test_too_few_trees_for_a_batch_are_refused():
    shape = TreeShape(400, 1, 100)
    trees = TaskTrees(many_trees(3), "tags", ENCODER, shape)
    with pytest.raises(InputError, match="not enough training data"):
        batch_iterator([Bucket(trees, shape, 64, 1.0)], ENCODER, seed=0)


def test_a_users_split_depends_on_nothing_but_id_and_seed():
    config = SplitConfig(0, 0.8, 0.1, 0.1)
    users = [f"u{i}" for i in range(3000)]
    shares = {name: np.mean([split_of(user, config) == name for user in users]) for name in ("sft", "rl", "bench")}
    assert shares == pytest.approx({"sft": 0.8, "rl": 0.1, "bench": 0.1}, abs=0.02)
    assert [split_of(u, config) for u in users] != [split_of(u, SplitConfig(1, 0.8, 0.1, 0.1)) for u in users]


def test_fractions_that_do_not_sum_to_one_are_refused():
    with pytest.raises(InputError, match="sum to 1"):
        SplitConfig(0, 0.8, 0.1, 0.2)
