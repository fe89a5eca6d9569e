"""Doing something in many threads at the same instant."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

Result = TypeVar("Result")


def at_once(count: int, act: Callable[[int], Result]) -> list[Result | Exception]:
    """Call `act(0)` … `act(count - 1)` in threads that start together; what each gave or raised, in no order."""
    results: list[Result | Exception] = []
    ready = threading.Barrier(count)

    def run(number: int) -> None:
        ready.wait()
        try:
            results.append(act(number))
        except Exception as error:
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
