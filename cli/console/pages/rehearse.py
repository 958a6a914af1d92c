"""Rehearse: break the local stack on purpose, and undo it."""

from typing import Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cli.console.pages.shared import RefusedError, back_to, changing, desk, form_of, served, shown


def rehearse(request: Request) -> Response:
    """What can be broken, and what is broken now."""
    _demand_local(request)
    told = desk(request).control.get("rehearsals")
    # Only what there is: the address is anybody's text.
    undone = [each for each in told["known"] if each["name"] in request.query_params.getlist("undone")]
    return shown(request, "rehearse.html", told=told, undone=undone, title="Rehearse")


def start(request: Request, form: dict[str, str]) -> Response:
    _demand_local(request)
    body = {"name": form_of(form, "name")}
    if target := form.get("target", ""):
        body["target"] = target
    desk(request).control.post("rehearsals", body)
    return back_to("/rehearse")


def undo(request: Request, form: dict[str, str]) -> Response:
    _demand_local(request)
    done = desk(request).control.delete(f"rehearsals/{quote(form_of(form, 'id'), safe='')}")
    return back_to(f"/rehearse?{urlencode({'undone': list(done['next'])}, doseq=True)}")


def _demand_local(request: Request) -> None:
    if not desk(request).local:
        raise RefusedError("rehearsals are for the local stack: start one with 'make run'", 404)


ROUTES: Final = [
    Route("/rehearse", served(rehearse)),
    Route("/rehearse/start", changing(start), methods=["POST"]),
    Route("/rehearse/undo", changing(undo), methods=["POST"]),
]
