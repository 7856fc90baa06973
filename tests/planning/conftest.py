import pytest


@pytest.fixture(scope="session")
def config_file(tmp_path_factory, tiny_config):
    """The tiny config as a file, for the command line."""
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    values = tiny_config().to_dict()
    path.write_text(f"from ml_collections import ConfigDict\ndef get_config():\n  return ConfigDict({values!r})\n")
    return path
