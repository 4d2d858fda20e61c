"""Curriculum records on disk: a TFDS dataset in ArrayRecord files, one record a user's tree.

Read it anywhere with `tfds.builder_from_directory(folder).as_data_source(split)`; TensorFlow is not needed.
"""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, SupportsIndex

import tensorflow_datasets as tfds

from usergpt_jax.core.errors import InputError
from usergpt_jax.schema import Question, UserTree

_VERSION = "1.0.0"
_NAME = "user_trees"


class UserTrees(tfds.core.GeneratorBasedBuilder):
    """Questions about users with their target outputs, by curriculum stage."""

    name = _NAME
    VERSION = tfds.core.Version(_VERSION)

    def __init__(self, splits: Mapping[str, Iterable[UserTree]], **kwargs: Any):
        self._splits = splits
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        question = {"task": text, "tag": text, "output": text, "label": text}
        features = {"user_id": text, "mub": text, "questions": tfds.features.Sequence(question)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {name: self._examples(trees) for name, trees in self._splits.items()}

    def _generate_examples(self) -> Any:
        raise AssertionError("splits are generated one by one")

    def _examples(self, trees: Iterable[UserTree]) -> Any:
        for tree in trees:
            questions = [vars(question) for question in tree.questions]
            yield tree.user_id, {"user_id": tree.user_id, "mub": tree.mub, "questions": questions}


def write_trees(folder: str | os.PathLike[str], splits: Mapping[str, Iterable[UserTree]]) -> None:
    """Writes each split's trees; user ids are unique within a split."""
    with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet), _no_progress_bar():
        UserTrees(splits, data_dir=os.fspath(folder), file_format="array_record").download_and_prepare()
    shutil.rmtree(pathlib.Path(folder) / "downloads")  # made by TFDS, always empty


@contextlib.contextmanager
def _no_progress_bar() -> Any:
    tfds.disable_progress_bar()
    try:
        yield
    finally:
        tfds.enable_progress_bar()


class TreeSource(Sequence[UserTree]):
    """Random access to one split, as grain wants it."""

    def __init__(self, folder: str | os.PathLike[str], split: str):
        path = pathlib.Path(folder) / _NAME / _VERSION
        if not path.exists():
            raise InputError(f"{path} is missing: no curriculum here")
        builder: Any = tfds.builder_from_directory(str(path))
        if split not in builder.info.splits:
            raise InputError(f"{path} has no split {split!r}; it has {', '.join(builder.info.splits)}")
        self._source = builder.as_data_source(split)
        self._label = f"{path}:{split}:{len(self._source)}"

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: SupportsIndex) -> UserTree:  # type: ignore[override]
        if not 0 <= int(index) < len(self):
            raise IndexError(f"{self!r} has no record {int(index)}")
        row = self._source[int(index)]
        columns = row["questions"]
        questions = tuple(
            Question(**{key: values[i].decode() for key, values in columns.items()})
            for i in range(len(columns["task"]))
        )
        return UserTree(row["user_id"].decode(), row["mub"].decode(), questions)

    def __repr__(self) -> str:  # grain stores it beside its state and compares on restore
        return f"TreeSource({self._label})"
