import pathlib

import pytest

from tests.inference.tiny_model import write_model
from usergpt_jax.inference import generate


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_model(tmp_path_factory.mktemp("model"), "stage3", seed=0)


@pytest.fixture(scope="session")
def model(model_folder: pathlib.Path) -> generate.LoadedModel:
    return generate.load_model(model_folder)
