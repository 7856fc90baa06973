"""`launch/local_gpu.sh` in a checkout of its own, whose Python and GPUs are stand-ins."""

import shutil

import pytest
from fake_commands import LAUNCH

TRAIN = ("--config=demo", "--workdir=runs/mine", "--config.data.sources=text:my texts/*.txt")
PYTHON = r"""
if [[ $1 == -m && $2 == venv ]]; then
  mkdir -p "$3/bin"
  cp "$FAKES/bin/python" "$3/bin/python"
  cp "$FAKES/bin/pixjax" "$3/bin/pixjax"
fi
"""


@pytest.fixture
def train(fakes):
    checkout = fakes.folder / "checkout"
    (checkout / "launch").mkdir(parents=True)
    for name in ("local_gpu.sh", "command_line.sh"):
        shutil.copy(LAUNCH / name, checkout / "launch")
    fakes.answer("nvidia-smi", "echo 580.65.06; echo 580.65.06")
    fakes.answer("python", PYTHON)
    fakes.answer("pixjax", 'echo "GPUs: ${CUDA_VISIBLE_DEVICES-all}"')
    return lambda *options: fakes.run(checkout / "launch" / "local_gpu.sh", "--python=python", *options, "--", *TRAIN)


@pytest.mark.parametrize(("driver", "extra"), [("580.65.06", "cuda13"), ("535.183.01", "cuda12")])
def test_the_cuda_that_the_driver_supports_is_installed_once(train, fakes, driver, extra):
    fakes.answer("nvidia-smi", f"echo {driver}")
    assert train().returncode == 0
    install = ["python", "-m", "pip", "install", "--quiet", "--editable", f"{fakes.folder}/checkout[{extra}]"]
    assert fakes.called("python") == [["python", "-m", "venv", f"{fakes.folder}/checkout/.venv"], install]
    assert train().returncode == 0
    assert len(fakes.called("python")) == 2
    assert fakes.called("pixjax") == [["pixjax", "train", *TRAIN]] * 2


def test_a_driver_that_is_too_old_is_named_with_what_is_needed(train, fakes):
    fakes.answer("nvidia-smi", "echo 470.256.02")
    done = train()
    assert done.returncode == 2
    assert "driver 470.256.02 is older than 525" in done.stderr
    assert not fakes.called("python")


def test_the_gpus_asked_for_are_the_ones_seen(train):
    assert train().stdout == "GPUs: all\n"
    assert train("--gpus=0,3").stdout == "GPUs: 0,3\n"


@pytest.mark.parametrize(("code", "starts"), [(0, 1), (1, 3), (2, 1), (139, 3)])
def test_a_run_that_fails_is_started_again_but_not_one_with_wrong_input(train, fakes, code, starts):
    fakes.answer("pixjax", f"exit {code}")
    assert train("--restarts=2").returncode == code
    assert len(fakes.called("pixjax")) == starts
