"""Keeps where applications stand, in the account domain."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

handler = batch_handler("tracker", "sqs", bootstrap.tracker().track)
