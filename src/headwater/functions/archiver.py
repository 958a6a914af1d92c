"""Archives every change of the tables with a stream to S3."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

archiver = bootstrap.archiver()
#: Counted by the source of the archive that a batch goes to: each table has a mapping, which may fail by itself.
handler = batch_handler("archiver", archiver.source_of, archiver.archive)
