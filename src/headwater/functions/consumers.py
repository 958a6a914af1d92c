"""The handlers of all that reads records in batches: a handler's name is its consumer's.

Lambda asks this module for the attribute that a function's Handler names, as ``headwater.functions.consumers.fan_out``.
It is built then, and no other, so that a cold start loads what its function needs.
"""

from collections.abc import Callable, Mapping
from typing import Final

from headwater import bootstrap
from headwater.functions.entry import Handler, batch_handler


def _archiver() -> Handler:
    archiver = bootstrap.archiver()
    # Counted by the source of the archive that a batch goes to: each table has a mapping, which may fail by itself.
    return batch_handler("archiver", archiver.source_of, archiver.archive)


#: The backbone's own.
_BACKBONE: Final[Mapping[str, Callable[[], Handler]]] = {
    "archiver": _archiver,
    "fan_out": lambda: batch_handler("fan_out", "dynamodb", bootstrap.fan_out().fan_out),
    "bi_export": lambda: batch_handler("bi_export", "kinesis", bootstrap.bi_export().export),
    "dead_letters": lambda: batch_handler("dead_letters", "sqs", bootstrap.dead_letters().resolve),
    "redrive": lambda: batch_handler("redrive", "sqs", bootstrap.set_aside().consume),
}


def __getattr__(name: str) -> Handler:
    if name in _BACKBONE:
        return _BACKBONE[name]()
    # Python asks a module for attributes of its own, before there is an environment.
    if not name.startswith("_"):
        application = bootstrap.application()
        if name in application.projections:
            return batch_handler(name, "kinesis", bootstrap.projection(name).process)
        if name in application.effects:
            return batch_handler(name, "sqs", bootstrap.effect(name).consume)
    raise AttributeError(f"no consumer is called {name!r}: neither the backbone nor the application declares it")
