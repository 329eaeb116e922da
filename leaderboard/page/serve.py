"""A server of the page's files for the browsers of this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from conceptbench.runtime import pages
from conceptbench.runtime.errors import InputError

if TYPE_CHECKING:
    from starlette.staticfiles import StaticFiles

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
}


def serve(folder: Path, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve a folder that `write_page` has written, until the process is interrupted.

    Parameters
    ----------
    port : of this machine, 0 for any that is free.
    on_ready : called with the address once it can be opened.

    Raises
    ------
    InputError
        if there is no page in the folder, or the port is taken.
    """
    from starlette.applications import Starlette
    from starlette.routing import Mount

    if not (folder / "index.html").is_file():
        raise InputError(
            f"{folder} has no index.html: make the page with `conceptbench board build DIR --out {folder}`"
        )
    app = Starlette(routes=[Mount("/", _files(folder.resolve()))])
    with pages.listen(port) as listening:
        on_ready(pages.address(listening))
        pages.serve(app, listening)


def _files(root: Path) -> StaticFiles:
    """Make the application that gives the files of a folder, and nothing to which a link in it may lead."""
    from starlette.responses import Response
    from starlette.staticfiles import StaticFiles

    class Files(StaticFiles):
        def file_response(self, full_path: Any, *arguments: Any, **options: Any) -> Response:
            response = super().file_response(full_path, *arguments, **options)
            if "content-type" in response.headers:
                # Not the types that this machine has on record, which may be any.
                response.headers["content-type"] = _TYPES.get(
                    Path(full_path).suffix.lower(), "application/octet-stream"
                )
            return response

    return Files(directory=root, html=True)
