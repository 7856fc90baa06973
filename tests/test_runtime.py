"""What a process sets before it computes."""

import platform
import subprocess
import sys

import pytest

ALLOCATE_TWICE = """
import ctypes, resource, threading
from pixjax.runtime import keep_memory

keep_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.memset.restype = ctypes.c_void_p

def allocate():
    block = ctypes.c_void_p(libc.malloc(ctypes.c_size_t(100_000_000)))
    libc.memset(block, 1, ctypes.c_size_t(100_000_000))
    libc.free(block)

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=allocate)
    thread.start()
    thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(page_faults(), page_faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_memory_that_was_freed_is_kept_for_the_next_step():
    out = subprocess.run([sys.executable, "-c", ALLOCATE_TWICE], capture_output=True, text=True, check=True).stdout
    first, second = map(int, out.split())
    assert first > 5_000 > 500 > second
