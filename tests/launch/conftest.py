"""The launchers run against commands that only record what they are asked."""

import pytest
from fake_commands import Fakes


@pytest.fixture
def fakes(tmp_path) -> Fakes:
    return Fakes(tmp_path)
