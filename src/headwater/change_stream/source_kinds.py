"""What a function's records come from, by the names that AWS gives the services."""

from typing import Literal

#: A stream, whose records stay where they are until they expire.
type StreamKind = Literal["dynamodb", "kinesis"]
#: A stream or a queue.
type SourceKind = StreamKind | Literal["sqs"]
