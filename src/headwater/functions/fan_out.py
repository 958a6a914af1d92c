"""Publishes the events table's new events to Kinesis and SNS."""

from headwater import bootstrap
from headwater.functions.entry import batch_handler

handler = batch_handler("fan_out", "dynamodb", bootstrap.fan_out().fan_out)
