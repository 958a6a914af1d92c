"""Finds a request's route. Eight routes need no framework: Powertools' resolver would add half to the import time."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from headwater.functions.api.request import Answer, Request

#: ``(request, route's template, path parameters) -> answer``
type Action = Callable[[Request, Mapping[str, str]], Answer]


class RouteNotFoundError(Exception):
    """No route has the path."""

    def __init__(self) -> None:
        super().__init__("there is nothing at this path")


class MethodNotAllowedError(Exception):
    """The path exists, with other methods."""

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"this path takes {', '.join(allowed)}")
        self.allowed = tuple(allowed)


@dataclass(frozen=True, slots=True)
class Route:
    """``name`` is its method and template, ``POST /users/{id}/plays``: what logs, metrics and keys call it.

    One that is ``gated`` is a route of the API of that name, so that IAM can tell who may call it. It is found through
    no other: whatever spelling of its path slips by the API's route, slips by IAM too.
    """

    name: str
    action: Action
    gated: bool = False

    @property
    def method(self) -> str:
        return self.name.partition(" ")[0]

    @property
    def pattern(self) -> str:
        return re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.name.partition(" ")[2])


class Router:
    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = [(re.compile(route.pattern), route) for route in routes]

    def find(self, request: Request) -> tuple[Route, Mapping[str, str]]:
        """The request's route and its path's parameters.

        Raises
        ------
        RouteNotFoundError, MethodNotAllowedError
        """
        matches = [
            (route, match.groupdict())
            for pattern, route in self._routes
            if (match := pattern.fullmatch(request.path)) and (not route.gated or request.route_key == route.name)
        ]
        if not matches:
            raise RouteNotFoundError
        for route, parameters in matches:
            if route.method == request.method:
                return route, parameters
        raise MethodNotAllowedError(sorted(route.method for route, _ in matches))
