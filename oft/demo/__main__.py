"""``python -m oft.demo``: the page, on this machine alone, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Annotated

import typer

from oft.errors import UserError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Where it listens on 127.0.0.1; 0: any free port. Default: the first free one from 7860 on.",
        ),
    ] = None,
) -> None:
    """Try the adapters of this run side by side, in a browser; the address is printed. Ctrl-C ends it.

    Settings that the page starts with are those of `sample` in params.yaml. Needs the extra `demo`, which
    `make demo` installs. docs/generate.md has more.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it leaves no file behind
    try:
        serve(port)
    except UserError as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(code=1) from None
    except KeyboardInterrupt:
        raise typer.Exit(code=130) from None


def serve(port: int | None) -> None:
    """Load the run's base and serve the page of its adapters until the process is interrupted.

    Raises:
        UserError: Gradio is not installed, there is no adapter or no base, or the port is taken.
    """
    from PIL import Image

    from oft.demo.catalogue import find_adapters, require_adapters
    from oft.generation.defaults import PLACED_BASE
    from oft.params import load_params

    params = load_params()
    catalogue = find_adapters(params)
    require_adapters(catalogue)
    # What Gradio itself decodes (the sketch) is bounded as what oft.pictures does.
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    with tempfile.TemporaryDirectory(prefix="oft-demo-") as scratch:
        # Before Gradio is imported, which reads them then: nothing reports home, and all files go at the end.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["GRADIO_TEMP_DIR"] = scratch
        try:
            from oft.demo.page import build_page, start_page
        except ModuleNotFoundError as fault:
            if fault.name != "gradio":
                raise
            raise UserError(
                "the page needs Gradio, which is not installed; start it with `make demo`, which installs it"
            ) from None
        from oft.demo.studio import Studio
        from oft.generation.bases import open_to_draw

        base, resolution_px = open_to_draw(str(PLACED_BASE), params.base.config, None, params)
        page = build_page(Studio(base, resolution_px, catalogue, params), Path(scratch))
        try:
            address = start_page(page, free_port() if port == 0 else port)
            typer.echo(f"The adapters of this run, side by side: {address}\nCtrl-C ends it.")
            threading.Event().wait()
        finally:
            page.close(verbose=False)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


if __name__ == "__main__":
    app()
