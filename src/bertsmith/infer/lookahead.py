"""Making the next item while the present one is used, and some at once."""

from __future__ import annotations

import queue
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

T = TypeVar("T")
ItemT = TypeVar("ItemT")

# How long a stream that is closed early waits for its thread, which may itself be waiting for more on a pipe.
_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class _Made(Generic[T]):
    item: T


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


def ahead(first: T, following: Iterator[T]) -> Iterator[T]:
    """The items in their order; a thread makes the next one while the present one is used, and then waits.

    An error comes where its item would have. Closing the iterator stops the thread at its next item.
    """
    made: queue.Queue[_Made[T] | _Failed | None] = queue.Queue(maxsize=1)
    stopped = threading.Event()
    # a daemon: one that waits for a pipe must not keep the program from ending
    thread = threading.Thread(target=_make, args=(following, made, stopped), name="bertsmith-ahead", daemon=True)
    thread.start()
    try:
        yield first
        while (found := made.get()) is not None:
            if isinstance(found, _Failed):
                raise found.error
            yield found.item
    finally:
        stopped.set()
        while not made.empty():  # the thread may be waiting for room
            made.get_nowait()
        thread.join(_PATIENCE_S)


def side_by_side(work: Callable[[ItemT], T], items: Iterable[ItemT], *, threads: int) -> Generator[T, None, None]:
    """What `work` makes of the items, in their order, in so many threads, none more than `threads` ahead."""
    with ThreadPoolExecutor(threads, thread_name_prefix="bertsmith") as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()


def _make(items: Iterator[T], made: queue.Queue[_Made[T] | _Failed | None], stopped: threading.Event) -> None:
    try:
        for item in items:
            if stopped.is_set():
                return
            made.put(_Made(item))
            if stopped.is_set():
                return
    except BaseException as error:
        made.put(_Failed(error))
    else:
        made.put(None)
