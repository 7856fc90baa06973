"""Writing to stdout and stderr never raises, whatever has become of them, and their failure is known."""

import io
import os
import subprocess
import sys

import pytest

from pixjax.cli import main
from pixjax.streams import SafeStream, safe, safe_streams

TEXT = "像素 é"


def on_pipe(**settings):
    read, write = os.pipe()
    return read, SafeStream(os.fdopen(write, "w", encoding="utf-8"), **settings)


@pytest.fixture
def page(tmp_path, capsys):
    """A canvas of a text that ASCII has no letters for."""
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    assert main(["codec", "encode", f"--text-file={tmp_path / 'text.txt'}", f"--out={tmp_path / 'a.png'}"]) == 0
    capsys.readouterr()
    return str(tmp_path / "a.png")


def test_a_reader_that_went_away_is_noticed_and_nothing_raises():
    read, stream = on_pipe()
    print("first", file=stream)
    assert os.read(read, 99) == b"first\n"
    os.close(read)
    for _ in range(3):
        print("nobody reads this", file=stream)
    assert stream.has_no_reader
    assert stream.reason == "Broken pipe"
    os.write(stream.fileno(), b"a library's own message")  # the descriptor leads nowhere now


def test_a_full_disk_is_noticed_and_written_to_again_once_it_has_room(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    stream = SafeStream(open("/dev/full", "w"))  # noqa: SIM115
    print("lost", file=stream)
    assert stream.reason == "No space left on device"
    assert not stream.has_no_reader
    with (tmp_path / "log").open("w") as room:
        os.dup2(room.fileno(), stream.fileno())
    print("kept", file=stream)
    assert (tmp_path / "log").read_text() == "kept\n"


def test_a_reader_that_does_not_read_holds_up_no_message():
    read, stream = on_pipe(patience=0.01)
    for _ in range(300):
        print("x" * 1000, file=stream)  # a pipe holds about 64 of these
    assert stream.failure is None
    while len(os.read(read, 2**20)) == 2**16:
        pass
    print("here again", file=stream)
    said = os.read(read, 2**20).decode()
    assert "messages were left out while they were not read" in said
    assert said.endswith("here again\n")


def test_letters_that_the_encoding_lacks_are_replaced():
    raw = io.BytesIO()
    stream = SafeStream(io.TextIOWrapper(raw, encoding="ascii"))
    print(TEXT, file=stream)
    assert raw.getvalue() == b"?? ?\n"


def test_a_stream_that_is_closed_or_not_there_takes_everything():
    closed = io.StringIO()
    closed.close()
    for stream in (SafeStream(closed), safe(None)):
        print("to nobody", file=stream)
        assert stream.failure is not None
        assert not stream.isatty()


def test_the_streams_of_the_caller_come_back_as_they_were(monkeypatch):
    mine = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", mine)
    with safe_streams():
        print(TEXT)
    assert sys.stdout is mine
    assert mine.errors == "strict"


def test_descriptors_that_are_closed_are_not_given_to_the_next_file_that_is_opened(tmp_path):
    script = (
        "import os\nfrom pixjax.streams import safe_streams\n"
        "with safe_streams():\n"
        "  file = open('precious', 'w')\n"
        "  os.write(2, b'a library speaks')\n"
        "  print('so does this')\n"
    )
    closed = ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, script]
    assert subprocess.run(closed, cwd=tmp_path).returncode == 0
    assert (tmp_path / "precious").read_bytes() == b""


def test_a_text_that_is_decoded_for_a_narrow_stdout_is_replaced_and_that_is_told(page, monkeypatch, capsys):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    assert main(["codec", "decode", page]) == 0
    assert raw.getvalue() == b"?? \xe9"
    assert capsys.readouterr().err == (
        "pixjax: cp1252 cannot represent 2 characters, which are replaced: set PYTHONIOENCODING=utf-8 to have all of "
        "them\n"
    )


def test_what_a_command_makes_for_stdout_and_cannot_write_is_a_failure(page, monkeypatch, capsys):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["codec", "decode", page]) == 1
        assert main(["codec", "encode", f"--text-file={__file__}", f"--out={page}"]) == 0  # its product is a file
    assert capsys.readouterr().err == (
        "pixjax: what it prints could not be written (No space left on device): send it elsewhere\n"
    )


def test_a_reader_that_has_seen_enough_is_no_failure(page, monkeypatch, capsys):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["codec", "decode", page]) == 0
    assert capsys.readouterr().err == ""
