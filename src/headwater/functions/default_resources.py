"""Gives each new user their preferences."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

handler = batch_handler("default_resources", "sqs", bootstrap.effect("default_resources").consume)
