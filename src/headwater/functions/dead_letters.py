"""Parks the records of batches that a stream consumer gave up."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

handler = batch_handler("dead_letters", "sqs", bootstrap.dead_letters().resolve)
