"""Vendored files are the ones that were recorded, there is one copy of each, and nothing is fetched from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import tutelage

PACKAGE = Path(tutelage.__file__).parent
FOLDERS = (PACKAGE / "web/vendor", PACKAGE / "reporting/vendor")
LICENCES = {"0BSD", "MIT", "Apache-2.0", "BSD-3-Clause"}


def test_every_vendored_file_is_recorded_with_version_licence_and_hash() -> None:
    for folder in FOLDERS:
        recorded = {}
        for package in json.loads((folder / "vendor.json").read_text(encoding="utf-8")):
            assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"]) and package["licence"] in LICENCES
            recorded |= package["files"]
        there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()
                 if path.name != "vendor.json"}
        assert there == recorded


def test_there_is_one_copy_of_each_library() -> None:
    hashes: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*"):
        if path.suffix in (".js", ".mjs", ".css") and path.is_file():
            hashes.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), []).append(str(path))
    assert [paths for paths in hashes.values() if len(paths) > 1] == []
    assert [str(path) for path in PACKAGE.rglob("*uPlot*.js")] == [str(PACKAGE / "reporting/vendor/uPlot.iife.min.js")]


def test_our_scripts_and_styles_name_no_other_address_and_run_no_text() -> None:
    for room in ("web", "studio", "studio/dashboard"):
        for path in (PACKAGE / room / "static").glob("*.*"):
            source = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"https?://|//cdn", source), path.name
            if path.suffix == ".js":
                runs = r"\beval\(|new Function|innerHTML|outerHTML|insertAdjacentHTML|document\.write"
                assert not re.search(runs, source), path.name


def test_the_shared_plots_are_served_from_where_they_are(browser) -> None:  # type: ignore[no-untyped-def]
    assert "uPlot" in browser().get("/static/x/plots/uPlot.iife.min.js").text
