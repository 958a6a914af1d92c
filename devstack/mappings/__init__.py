"""Drives the machines of event source mappings, and of pipes, against the emulator's streams and queues.

One reader polls each shard and keeps what it read until every mapping on the shard has taken it: polling is what costs,
and the emulator has one process for everything. Each mapping has a machine and a thread per shard, each queue one of
each. The emulator's own event source mappings are never created; it would lose records on errors.
"""
