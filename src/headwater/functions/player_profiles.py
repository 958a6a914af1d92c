"""Keeps the player profiles in step with the events."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler
from headwater.projections.player_profiles import PLAYER_PROFILES

handler = batch_handler("player_profiles", "kinesis", bootstrap.projection(PLAYER_PROFILES).process)
