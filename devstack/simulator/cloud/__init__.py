"""AWS in memory, for the simulator: clients that look like boto3's, on a clock and a seed of the caller's choice."""

from devstack.simulator.cloud.client import CallFaults, NoFaults
from devstack.simulator.cloud.cloud import Cloud
from devstack.simulator.cloud.dynamodb import Index
from devstack.simulator.cloud.errors import client_error
from devstack.simulator.cloud.shards import Shard, ShardLog
from devstack.simulator.cloud.sqs import Queue

__all__ = ["CallFaults", "Cloud", "Index", "NoFaults", "Queue", "Shard", "ShardLog", "client_error"]
