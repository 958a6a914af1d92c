"""Redrives by itself what was set aside for an error that nobody foresaw."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

handler = batch_handler("redrive", "sqs", bootstrap.set_aside().consume)
