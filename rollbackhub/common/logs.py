"""What goes into the log."""

from __future__ import annotations

import logging
import re

_FEED = re.compile(r"(/drills/calendar/)[^/\s]+?(\.ics)")


class OneLine(logging.Filter):
    """Lets a record through without its traceback: for refusals of bad requests, whose cause is outside."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; takes the traceback off."""
        record.exc_info = record.exc_text = None
        return True


class HideFeedSecrets(logging.Filter):
    """Lets a record through without the secret of a calendar's address, which Django names when something goes wrong there."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; a message with such an address is written out without it."""
        message = record.getMessage()
        hidden = _FEED.sub(r"\1…\2", message)
        if hidden != message:
            record.msg, record.args = hidden, None
        return True
