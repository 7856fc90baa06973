import pickle
import subprocess
import sys

import numpy as np

from pixjax.data.token_stream import MemoryTokens


def test_spans_are_read_in_the_order_asked_for():
    pieces = MemoryTokens(np.arange(100, dtype=np.uint8)).read([(90, 100), (0, 3), (5, 5)])
    assert [piece.tolist() for piece in pieces] == [list(range(90, 100)), [0, 1, 2], []]


def test_a_large_array_is_shared_with_another_process_not_copied(tmp_path):
    tokens = MemoryTokens(np.arange(2**20, dtype=np.uint16))
    data = pickle.dumps(tokens)
    assert len(data) < 1000
    script = (
        "import pickle, sys; tokens = pickle.load(sys.stdin.buffer); "
        "print(type(tokens.ids).__name__, len(tokens), tokens.read([(65_530, 65_540)])[0].tolist())"
    )
    answer = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True).stdout
    expected = [*range(65_530, 65_536), 0, 1, 2, 3]
    assert answer.decode().strip() == f"memmap {2**20} {expected}"


def test_a_small_array_travels_as_it_is():
    tokens = pickle.loads(pickle.dumps(MemoryTokens(np.arange(10))))
    assert tokens.ids.tolist() == list(range(10))
