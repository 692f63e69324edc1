"""The one route that serves files: those of `Assets`, known by name beforehand, so that no path can lead elsewhere."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from tutelage.web.assets import Assets
from tutelage.web.i18n import N_
from tutelage.web.routes import FILES, Routes
from tutelage.web.visitors import Refused


def add_routes(routes: Routes, assets: Assets) -> None:
    @routes.get("/static/{digest}/{name:path}", roles=FILES)
    async def file(request: Request, digest: str, name: str) -> Response:
        asset = assets.files.get(name)
        if asset is None:
            raise Refused(404, N_("There is nothing at this address."))
        # Under another version's digest the file is served all the same, but not for good.
        keep = "public, max-age=31536000, immutable" if digest == assets.digest else "no-cache"
        return Response(asset.content, media_type=asset.media_type, headers={"cache-control": keep})
