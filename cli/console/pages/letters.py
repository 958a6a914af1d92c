"""Dead letters: grouped by cause; shown, redriven, discarded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cli.console.pages.shared import RefusedError, back_to, changing, desk, form_of, served, shown
from cli.observation import Letters
from headwater.change_stream.claim_checks import S3ClaimStore
from headwater.dead_letters.redrive import HeldUpError, in_order
from operations.dead_letters import redriving
from operations.dead_letters.inventory import Inventory, counts, opened
from operations.dead_letters.redriving import Redriving
from operations.dead_letters.view import cause, contents, reason, summary
from operations.dead_letters.waiting import DeadLetter, on_their_way


@dataclass(frozen=True, slots=True)
class Group:
    """The dead letters of one consumer that failed alike."""

    consumer: str
    why: str
    cause: str
    members: Sequence[tuple[str, DeadLetter]]

    @property
    def records(self) -> int:
        return sum(letter.records for _, letter in self.members)


def letters(request: Request) -> Response:
    """All that wait: at once whether any do, and then which, as that takes a second to see."""
    waits = any(counts(desk(request).target).values())
    done = request.query_params.get("done", "")
    return shown(request, "letters.html", waits=waits, done=done, title="Dead letters")


def listed(request: Request) -> Response:
    """Those that wait, by cause: a part of the page."""
    found = desk(request).observer.box.letters()
    unseen = {place: (count, on_their_way(place)) for place, count in sorted(found.unseen.items())}
    now = datetime.now(UTC)
    return shown(request, "letter_list.html", groups=_groups(found), unseen=unseen, now=now, title="Dead letters")


def letter(request: Request) -> Response:
    """One of them, with its parsed events."""
    target, identifier = desk(request).target, request.path_params["id"]
    claims = S3ClaimStore(target.client("s3"), target.output("ArchiveBucketName"))
    found = desk(request).observer.box.letters()
    chosen = next((each for each in found.letters if found.ids[each.key] == identifier), None)
    if chosen is None:
        raise RefusedError(f"no dead letter {identifier!r} waits: it was redriven or discarded, or has expired", 404)
    told = summary(chosen, identifier)
    return shown(request, "letter.html", letter=chosen, told=told, contents=contents(chosen, claims), title=identifier)


def redrive(request: Request, form: dict[str, str]) -> Response:
    """Processes dead letters again: one, those of a consumer, or all; takes off what succeeds."""
    target = desk(request).target
    with opened(target) as found:
        chosen = _chosen(found, form)
        results: list[tuple[str, DeadLetter, str | Exception]] = [
            (found.ids[each.key], each, done)
            for each, done in in_order(
                chosen, lambda each: (each.consumer, each.aggregate), Redriving(target, found).redrive
            )
        ]
    told = [
        (identifier, each, done if isinstance(done, str) else reason(done), _state(done))
        for identifier, each, done in results
    ]
    return shown(request, "redriven.html", results=told, title="Redrive")


def discard(request: Request, form: dict[str, str]) -> Response:
    """Takes one off for good; a record of it is kept."""
    why = form_of(form, "reason")
    with opened(desk(request).target) as found:
        done = redriving.discard(desk(request).target, found, found.find(request.path_params["id"]), why)
    if done.stopped:
        raise RefusedError(f"it stays, as its aggregate cannot go on: {done.stopped}", 409)
    return back_to("/dead-letters?done=discarded")


def _groups(found: Letters) -> list[Group]:
    groups: dict[tuple[str, str, str], list[tuple[str, DeadLetter]]] = {}
    for each in found.letters:
        key = each.consumer, each.reason, cause(each, each.error or "")
        groups.setdefault(key, []).append((found.ids[each.key], each))
    return [Group(*key, members) for key, members in sorted(groups.items(), key=lambda group: group[0])]


def _chosen(found: Inventory, form: dict[str, str]) -> Sequence[DeadLetter]:
    if identifier := form.get("id", ""):
        return [found.find(identifier)]
    if consumer := form.get("consumer", ""):
        return found.chosen(consumer, None)
    if form.get("all"):
        return found.letters
    raise RefusedError("say what to redrive: one, those of a consumer, or all")


def _state(done: Any) -> str:
    if isinstance(done, HeldUpError):
        return "waiting"
    return "parked" if isinstance(done, Exception) else "done"


ROUTES: Final = [
    Route("/dead-letters", served(letters)),
    Route("/dead-letters/list", served(listed)),
    Route("/dead-letters/redrive", changing(redrive), methods=["POST"]),
    Route("/dead-letters/{id}", served(letter)),
    Route("/dead-letters/{id}/discard", changing(discard), methods=["POST"]),
]
