"""Routes that say who may take them. There is no way to add one that does not.

    routes = Routes()

    @routes.get("/campaigns", roles={"lead"})
    def campaigns(request: Request) -> Response: ...

`roles` is a set of roles, any of which opens the door, or `SIGNED_IN`, or `EVERYBODY`. The guard runs before the
function does; a form or an API call that changes something has shown its token by then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute

from tutelage.store.accounts import ROLES
from tutelage.web import visitors
from tutelage.web.visitors import admit

EVERYBODY = frozenset({visitors.EVERYBODY})
SIGNED_IN = frozenset({visitors.SIGNED_IN})
FILES = frozenset({visitors.FILES})          # for everybody, and it is not even looked up who they are

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class Routes:
    """The routes of one room, each with those who may take it."""

    def __init__(self) -> None:
        self._added: list[tuple[str, str, frozenset[str], Callable[..., Any]]] = []

    def get(self, path: str, *, roles: Collection[str]) -> Callable[[Endpoint], Endpoint]:
        return self._add("GET", path, roles)

    def post(self, path: str, *, roles: Collection[str]) -> Callable[[Endpoint], Endpoint]:
        return self._add("POST", path, roles)

    def _add(self, method: str, path: str, roles: Collection[str]) -> Callable[[Endpoint], Endpoint]:
        wanted = frozenset(roles)
        unknown = wanted - {*ROLES, *EVERYBODY, *SIGNED_IN, *FILES}
        if not wanted or unknown:
            raise ValueError(f"{method} {path} is for {sorted(unknown) or 'nobody'}; wanted roles out of {', '.join(ROLES)}.")

        def add(endpoint: Endpoint) -> Endpoint:
            self._added.append((method, path, wanted, endpoint))
            return endpoint
        return add

    def attach(self, app: FastAPI) -> None:
        for method, path, wanted, endpoint in self._added:
            app.add_api_route(path, endpoint, methods=[method], dependencies=[Depends(_guard(wanted))],
                              response_model=None, openapi_extra={"roles": sorted(wanted)})


def _guard(wanted: frozenset[str]) -> Callable[[Request], Awaitable[None]]:
    async def guard(request: Request) -> None:
        await admit(request, wanted)
    return guard


def doors(app: FastAPI) -> dict[tuple[str, str], frozenset[str]]:
    """(method, path) -> who may take it, for every route of the app.

    Raises:
        ValueError: if a route says nothing of it, which only one that went past `Routes` can.
    """
    found = {}
    for route in app.routes:
        roles = (route.openapi_extra or {}).get("roles") if isinstance(route, APIRoute) else None
        if not isinstance(route, APIRoute) or not roles:
            raise ValueError(f"the route {getattr(route, 'path', route)!r} does not say who may take it; add it by Routes.")
        for method in route.methods or ():
            found[method, route.path] = frozenset(roles)
    return found
