"""Keeps the player profiles in step with the events."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

handler = batch_handler("player_profiles", "kinesis", bootstrap.projection("player_profiles").process)
