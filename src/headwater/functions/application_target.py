"""Tells the account domain where applications stand: the target of the Pipe."""

from headwater import bootstrap
from headwater.functions.pipe import target_handler

handler = target_handler("application_target", bootstrap.application_target().deliver)
