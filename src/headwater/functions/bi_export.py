"""Exports events as flat JSON for dashboards."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

handler = batch_handler("bi_export", "kinesis", bootstrap.bi_export().export)
