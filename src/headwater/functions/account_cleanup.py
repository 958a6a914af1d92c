"""Removes what a deleted user leaves behind."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

handler = batch_handler("account_cleanup", "sqs", bootstrap.effect("account_cleanup").consume)
