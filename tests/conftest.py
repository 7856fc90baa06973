"""Shared fixtures: real data where there is any, one compilation cache for all processes, a tiny config and run."""

import gc
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import hypothesis
import pytest
from etils import epath

ROOT = pathlib.Path(__file__).resolve().parent.parent
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("JAX_PLATFORMS", "cpu")


def _started(flags: str) -> subprocess.Popen:
    """XLA ends the process at a flag that its version does not know."""
    nothing = subprocess.DEVNULL
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    return subprocess.Popen(command, env=os.environ | {"XLA_FLAGS": flags}, stdout=nothing, stderr=nothing)


# Compiling is most of what tests of tiny models do: these make it six times as fast. Workers inherit them. Each part
# that a module is split into for the cores of a machine costs the compiler as much again.
_QUICK = "--xla_backend_optimization_level=0"
_QUICKER = f"{_QUICK} --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
_trial = None if "XLA_FLAGS" in os.environ else _started(_QUICKER)  # it imports while this process does

import jax  # noqa: E402  (it reads the environment when it is imported)
from annotation_check import check_annotations  # noqa: E402
from forked import ForkServer  # noqa: E402

check_annotations()
jax.config.update("jax_numpy_rank_promotion", "raise")  # a missing axis is an error, not a broadcast

from pixjax.config import Config  # noqa: E402

# The same examples in every run and on every machine, whatever its load: what is found is found by whoever caused it.
# `make explore` looks for what these examples leave out.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
hypothesis.settings.load_profile("suite")

if _trial is not None:
    os.environ["XLA_FLAGS"] = _QUICKER if _trial.wait() == 0 else _QUICK if _started(_QUICK).wait() == 0 else ""


# What takes longest, first: of what is left at the end no worker has much when the other has nothing.
LONG = (
    "test_slurm_cluster", "test_readme", "test_training_in_a_bucket", "test_context", "test_processes",
    "test_marker_first", "test_study",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in LONG)


def pytest_collection_finish() -> None:
    """Modules stay: to look through all of them for garbage, again and again, is a sixteenth of what tests take."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 5)


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real data; a test that asks for it is skipped where there is none."""
    folder = pathlib.Path(os.environ.get("PIXJAX_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set PIXJAX_DATA to a folder that has it")
    return folder


EVALUATION = {
    "test": ["demo:text?part=held_out", "demo:images"],
    "canvases": 8, "samples": 4, "num_times": 2, "batch_size": 4, "reference_characters": 4000,
}  # fmt: skip


def tiny_dict(**sections) -> dict:
    """A tiny mixed run as plain values, its sections updated."""
    values = {
        "model": {
            "variant": "Ti", "canvas_size": 16, "patch_size": "4", "tagging": "marker", "depth": 2,
            "width": 32, "heads": 2,
            "bottleneck": 16, "in_context_tokens": 0, "dtype": "float32",
        },
        "codec": {"tokenizer": "chars27", "normalize": True, "code": "radix:3:1", "layout": "patch", "marker": True},
        "data": {"batch_size": 8, "sources": ["demo:text", "demo:images"]},
        "training": {
            "steps": 6, "checkpoint_every": 3, "log_every": 1, "warmup_steps": 2, "learning_rate": 1e-3,
            "ema_decays": [0.9, 0.5],
        },
        "sampling": {"steps": 2, "batch_size": 4},
    }  # fmt: skip
    return {name: values.get(name, {}) | sections.get(name, {}) for name in values | sections}


@pytest.fixture(scope="session")
def tiny_config():
    """`tiny_config(training={"steps": 4})` is a `Config`."""
    return lambda **sections: Config.from_dict(tiny_dict(**sections))


@pytest.fixture(scope="session")
def workdir(tmp_path_factory, tiny_config) -> epath.Path:
    """A tiny mixed run that has been trained, unless a folder or a file of tests has a run of its own."""
    from pixjax.training.train import train

    folder = epath.Path(tmp_path_factory.mktemp("run"))
    data = {"sources": ["demo:text?part=train", "demo:images"]}
    train(tiny_config(data=data, training={"steps": 2}, evaluation=EVALUATION), folder)
    return folder


@pytest.fixture(scope="session")
def fork_server(tmp_path_factory):
    """Starts commands without the seconds that a new process imports for."""
    server = ForkServer(tmp_path_factory.mktemp("forked"))
    yield server
    server.close()


@pytest.fixture
def heard_hangups():
    """SIGHUP is not ignored, as it is by what nohup starts, and by what that starts."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def _found(variable: str, *names: str) -> str | None:
    return os.environ.get(variable) or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture
def browser(tmp_path):
    """A headless Chromium; a test that asks for one is skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: pip install 'pixjax[test]'")
    chrome = _found("CHROME", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    driver = _found("CHROMEDRIVER", "chromedriver")
    if not chrome or not driver:
        pytest.skip("no Chromium with chromedriver found: install both, or set CHROME and CHROMEDRIVER")
    options = webdriver.ChromeOptions()
    options.binary_location = chrome
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "disable-dev-shm-usage", f"user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    started.set_page_load_timeout(240)
    started.set_script_timeout(240)
    yield started
    started.quit()
