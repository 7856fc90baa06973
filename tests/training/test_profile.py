"""A profile covers the steps that it was asked for."""

import jax.numpy as jnp
import pytest

from pixjax.errors import InputError
from pixjax.training.profile import Profile


@pytest.mark.parametrize("steps", ["10", "a-b", "5-3"])
def test_a_wrong_range_to_profile_is_refused(steps, tmp_path):
    with pytest.raises(InputError, match="write for instance 10-13"):
        Profile(steps, tmp_path)


def test_a_profile_covers_its_steps(tmp_path):
    with Profile("1-2", tmp_path) as profile:
        for step in range(4):
            profile.before(step)
            jnp.ones(3).block_until_ready()
    assert list(tmp_path.rglob("*.xplane.pb"))
