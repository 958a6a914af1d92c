"""Sends each new user one welcome e-mail."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

handler = batch_handler("welcome_email", "sqs", bootstrap.effect("welcome_email").consume)
