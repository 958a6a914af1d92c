"""Awards badges for plays and keeps each player's progress."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

handler = batch_handler("badges", "kinesis", bootstrap.projection("badges").process)
