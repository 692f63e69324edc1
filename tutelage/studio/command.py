"""`tutelage studio`: serve the feedback pages of a project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tutelage.config import load, read_toml
from tutelage.console import console
from tutelage.errors import UsageError
from tutelage.options import Options
from tutelage.project import MARKER, Project
from tutelage.studio.config import Studio


def studio(arguments: Sequence[str], options: Options) -> dict[str, Any]:
    """Serve until stopped. On the first run a one-time set-up link is printed.

    Raises:
        UsageError: if others could reach the address and nothing keeps what is sent from them, or it cannot be had.
    """
    project = None if "--help" in arguments or "-h" in arguments else Project.open(options.project, options.store)
    marker = project.root / MARKER if project else None
    defaults = read_toml(marker).get("studio", {}) if marker and marker.is_file() else {}
    config = load(Studio, arguments=arguments, program="tutelage studio", defaults=defaults)
    assert project is not None
    return run(project, config)


def run(project: Project, config: Studio) -> dict[str, Any]:
    from tutelage.store import Store
    from tutelage.studio.dashboard.room import dashboard_room
    from tutelage.studio.drawing_pages import drawings_of
    from tutelage.studio.room import studio_room
    from tutelage.web import Shell, create_app
    from tutelage.web.entrance import setup_path
    from tutelage.web.serve import check_address, hosts_of, open_socket, serve

    cert, key = (Path(name) if name else None for name in (config.tls_cert, config.tls_key))
    for file in (cert, key):
        if file is not None and not file.is_file():
            raise UsageError(f"there is no file {file}. Wanted the certificate and its key as PEM files.")
    check_address(config.host, cert is not None, config.behind_proxy)
    hosts = hosts_of(config.host, config.public_url, config.behind_proxy)
    listening = open_socket(config.host, config.port)
    with listening, Store.open(project.store_place) as store:
        shell = Shell(store=store, hosts=hosts, https=cert is not None or config.public_url.startswith("https:"),
                      larger_bodies={"/campaigns/new": config.max_upload_mb << 20})
        app = create_app(shell, [studio_room(project, config), dashboard_room(project)])
        drawings_of(app, project).go_on()
        port = listening.getsockname()[1]
        host = f"[{config.host}]" if ":" in config.host else config.host
        address = config.public_url.rstrip("/") or f"{'https' if cert else 'http'}://{host}:{port}"
        console.print(f"The studio of {project.root} is at {address}  (Ctrl+C stops it)")
        if path := setup_path(store):
            console.print("Nobody has an account yet. This link makes the first one; it works once, for 24 hours:")
            console.print(f"{address}{path}")
        serve(app, listening, cert, key, config.behind_proxy)
    return {"address": address}
