"""What makes a try impossible."""

from __future__ import annotations

from devstack.errors import DevstackError


class UsageError(DevstackError):
    """The input or the function named cannot be tried; the message says what is wrong and what to do."""
