"""Keeps the users' achievements in step with the events."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

handler = batch_handler("achievements", "kinesis", bootstrap.projection("achievements").process)
