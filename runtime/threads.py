"""Threads in which torch uses one core each."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def torch_workers() -> Iterator[ThreadPoolExecutor]:
    """As many threads as torch may use, in each of which, and in the caller until the end, torch uses one.

    For work in whole blocks that are independent: torch's own threads meet after every operation, and where the cores
    are shared with other programs, most of the time would go into their waiting for each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as workers:
            yield workers
    finally:
        torch.set_num_threads(threads)
