"""Errors that devstack shows as one line."""

from __future__ import annotations


class DevstackError(Exception):
    """Something the person at the keyboard can put right; the message says how."""
