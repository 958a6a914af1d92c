"""Identifiers. Version 7 UUIDs sort by creation time, which keeps an archive's and an index's neighbours together."""

import secrets
import time
import uuid


def uuid7() -> str:
    """A random UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits.

    Python's own ``uuid.uuid7`` arrives in 3.14; Lambda's runtime here is 3.13.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
