"""Tells people of changes to their accounts."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

handler = batch_handler("change_notice", "sqs", bootstrap.effect("change_notice").consume)
