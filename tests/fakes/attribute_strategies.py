"""Hypothesis strategies for DynamoDB JSON: every type, numbers of 38 digits, binary, sets, nesting."""

import base64
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", "👩🏽‍🚀", "\u2028", '"\\\n', "NaN"]
)
_DIGITS = st.integers(-(10**38) + 1, 10**38 - 1)


@st.composite
def numbers(draw: st.DrawFn) -> int | Decimal:
    """What DynamoDB holds: up to 38 digits, from 1E-130 to 9.99E+125."""
    digits = draw(_DIGITS | st.integers(-1000, 1000))
    if draw(st.booleans()):
        return digits
    length = len(str(abs(digits)))
    return Decimal(digits).scaleb(draw(st.integers(-130, 125 - length)))


NUMBER_TEXT = numbers().map(str)
BINARY_TEXT = st.binary(max_size=12).map(lambda content: base64.b64encode(content).decode())


def _values(children: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"M": st.dictionaries(TEXT, children, max_size=3)}) | st.fixed_dictionaries(
        {"L": st.lists(children, max_size=3)}
    )


_LEAVES = st.one_of(
    st.fixed_dictionaries({"S": TEXT}),
    st.fixed_dictionaries({"N": NUMBER_TEXT}),
    st.fixed_dictionaries({"B": BINARY_TEXT}),
    st.fixed_dictionaries({"BOOL": st.booleans()}),
    st.fixed_dictionaries({"NULL": st.just(True)}),
    st.fixed_dictionaries({"SS": st.lists(TEXT, min_size=1, max_size=3, unique=True)}),
    st.fixed_dictionaries({"NS": st.lists(NUMBER_TEXT, min_size=1, max_size=3, unique_by=Decimal)}),
    st.fixed_dictionaries({"BS": st.lists(BINARY_TEXT, min_size=1, max_size=3, unique=True)}),
)

#: One attribute value as Lambda delivers it: binary is base64 text.
ATTRIBUTE_VALUES = st.recursive(_LEAVES, _values, max_leaves=8)
#: A whole item.
ITEMS = st.dictionaries(TEXT, ATTRIBUTE_VALUES, max_size=5)


def with_bytes(value: Any) -> Any:
    """The same attribute value, or map of them, as boto3 delivers it: binary is bytes."""
    match value:
        case {"B": str(content), **rest} if not rest:
            return {"B": base64.b64decode(content)}
        case {"BS": list(contents), **rest} if not rest:
            return {"BS": [base64.b64decode(content) for content in contents]}
        case {"L": list(items), **rest} if not rest:
            return {"L": [with_bytes(item) for item in items]}
        case {"M": dict(items), **rest} if not rest:
            return {"M": {name: with_bytes(item) for name, item in items.items()}}
        case _:
            return value
