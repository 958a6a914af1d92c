"""The events table's items in memory. tests/contract holds them to the same behaviour as DynamoDB's."""

from collections.abc import Mapping
from typing import Any

from headwater.attribute_values import AttributeMap


class InMemoryEventItems:
    """Implements `headwater.fan_out.fan_out.EventItems`; ``images`` are DynamoDB JSON."""

    def __init__(self, *images: Mapping[str, Any]) -> None:
        self.images = list(images)

    def get(self, key: AttributeMap) -> AttributeMap | None:
        return next((image for image in self.images if key.items() <= image.items()), None)
