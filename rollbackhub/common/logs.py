"""What goes into the log."""

from __future__ import annotations

import logging


class OneLine(logging.Filter):
    """Lets a record through without its traceback: for refusals of bad requests, whose cause is outside."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; takes the traceback off."""
        record.exc_info = record.exc_text = None
        return True
