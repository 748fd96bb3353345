"""Independent tasks on threads; the kernels release the interpreter lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from skyquilt.errors import Interrupted

__all__ = ["run_in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def _never() -> bool:
    return False


def run_in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    n_threads: int,
    should_stop: Callable[[], bool] = _never,
) -> Generator[Result, None, None]:
    """
    Yield ``function(item)`` for every item, in the order of the items, with at most `n_threads` at work.

    At most two results a thread wait to be taken, so that memory does not depend on the number of items. One thread
    is a thread of its own as well: what it keeps for itself goes with it.

    Raises
    ------
    Interrupted
        When `should_stop` says so; tasks that have begun are finished and their results yielded first.
    """
    stopped = False
    with ThreadPoolExecutor(n_threads, thread_name_prefix="skyquilt") as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                if should_stop():
                    stopped = True
                    break
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * n_threads:
                    yield waiting.popleft().result()
            while waiting:
                if should_stop():
                    stopped = True
                    for future in waiting:
                        future.cancel()
                future = waiting.popleft()
                if not future.cancelled():
                    yield future.result()
        finally:
            for future in waiting:
                future.cancel()
    if stopped:
        raise Interrupted("stopped on request")
