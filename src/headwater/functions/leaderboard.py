"""Keeps the leaderboards in step with the events."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

handler = batch_handler("leaderboard", "kinesis", bootstrap.projection("leaderboard").process)
