"""The regions of template.yaml: most are rendered from templates/, by what the declarations say."""

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from cli.wiring import sql
from cli.wiring.declared import application
from cli.wiring.facts import Facts
from cli.wiring.regions import Writer

#: In the order in which they stand there.
RENDERED: Final = (
    "fan_out",
    "projections",
    "effects",
    "bi_export",
    "failure_queues",
    "redrive_role",
    "operators",
    "alarm_topics",
    "alarms_that_page",
    "alarms_for_the_morning",
    "queue_outputs",
)
_WIDTH: Final = 120


def writers() -> Mapping[str, Writer]:
    """What writes each region of the template."""
    environment = _environment()
    facts = Facts(application()).by_name()

    def rendered(name: str) -> str:
        text = environment.get_template(f"{name}.yaml.j2").render(facts)
        return text if name == "queue_outputs" else _spaced(text)

    return {**{name: partial(rendered, name) for name in RENDERED}, "analytics": sql.resources}


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cli.wiring"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # YAML, from declarations
    )
    environment.filters |= {
        "commented": _commented,
        "quoted": _quoted,
        "one_or_list": _one_or_list,
        "resource": _resource,
    }
    return environment


def _spaced(text: str) -> str:
    """Resources with one empty line between them, wherever the template has some."""
    lines: list[str] = []
    for line in filter(str.strip, text.splitlines()):
        begins = re.match(r"  [#\w]", line) and not (lines and re.match(r"  #", lines[-1]))
        lines += ["", line] if begins and lines else [line]
    return "".join(f"{line}\n" for line in lines)


def _commented(text: str) -> str:
    return "\n".join(f"  # {line}" for line in textwrap.wrap(text, _WIDTH - 4, break_on_hyphens=False))


def _quoted(values: Sequence[str]) -> str:
    return json.dumps(list(values))


def _one_or_list(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"[{', '.join(values)}]"


def _resource(text: str) -> str:
    """A grant's resource in the shortest of its forms."""
    if found := re.fullmatch(r"\$\{(\w+)\.Arn\}", text):
        return f"!GetAtt {found[1]}.Arn"
    return f'!Sub "{text}"'
