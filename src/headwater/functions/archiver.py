"""Archives every change of the tables with a stream to S3."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

handler = batch_handler("archiver", "dynamodb", bootstrap.archiver().archive)
