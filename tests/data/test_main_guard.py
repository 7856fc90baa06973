"""A script that would wait for ever for processes that import it is told what to do instead."""

import runpy

import pytest

from pixjax.data import batches
from pixjax.errors import InputError

ASK = "from pixjax.data.worker import require_guard\n"
THREAD = "import threading\ndef go():\n  thread = threading.Thread(target=run)\n  thread.start()\n  thread.join()\n"
CAUGHT = (
    "caught = []\ndef run():\n  try:\n    require_guard('data.workers=2')\n  except Exception as error:\n"
    "    caught.append(error)\n"
)


def result(tmp_path, text: str) -> dict:
    path = tmp_path / "script.py"
    path.write_text(text)
    return runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize(
    "text",
    [
        "require_guard('data.workers=2')\n",
        "def run():\n  require_guard('data.workers=2')\nrun()\n",
        "for _ in range(1):\n  require_guard('data.workers=2')\n",
        "if True:\n  require_guard('data.workers=2')\n",
    ],
)
def test_a_script_without_a_guard_is_refused(tmp_path, text):
    with pytest.raises(InputError, match=r"^data\.workers=2 starts processes.*script\.py.*__name__ == \"__main__\""):
        result(tmp_path, ASK + text)


def test_a_thread_does_not_hide_it(tmp_path):
    assert len(result(tmp_path, ASK + CAUGHT + THREAD + "go()\n")["caught"]) == 1
    guarded = result(tmp_path, ASK + CAUGHT + THREAD + "if __name__ == '__main__':\n  go()\n")
    assert guarded["caught"] == []


def test_a_guarded_script_is_let_through(tmp_path):
    result(tmp_path, ASK + "if 'x' and '__main__' == __name__:\n  require_guard('data.workers=2')\n")
    result(tmp_path, ASK + "def run():\n  require_guard('data.workers=2')\nif __name__ == '__main__':\n  run()\n")


def test_data_workers_ask_for_it(tmp_path, tiny_config):
    (tmp_path / "config.json").write_text("")
    script = "from pixjax.data import make_batches\nmake_batches(config, codec)\n"
    (tmp_path / "script.py").write_text(script)
    config = tiny_config(data={"workers": 2})
    codec = batches.CanvasCodec(**config.codec_arguments())
    with pytest.raises(InputError, match=r"from line 2 on"):
        runpy.run_path(str(tmp_path / "script.py"), {"config": config, "codec": codec}, run_name="__main__")
