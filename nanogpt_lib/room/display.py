"""Pictures in a notebook, and whether there is a notebook."""

import base64
import io
import sys
import warnings

WIDGET = "application/vnd.jupyter.widget-view+json"


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel, whose front end can show pictures."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it; nobody else needs to
    shell = ipython and ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def show(handle, bundle: dict, metadata: dict | None = None):
    """Shows a bundle, {MIME type: content}, or replaces the one shown at `handle`.

    Returns the handle of the output.
    """
    if handle is not None:
        handle.update(bundle, metadata=metadata, raw=True)
        return handle
    from IPython.display import display

    return display(bundle, metadata=metadata, raw=True, display_id=True)


def controls(box) -> dict:
    """A box of ipywidgets as part of a bundle: front ends that know widgets show it."""
    view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
    return {WIDGET: view}


def png(figure) -> str:
    """A figure in the format in which notebooks store pictures: PNG as base64 text."""
    return base64.b64encode(png_bytes(figure)).decode("ascii")


def png_bytes(figure, dpi: int = 100) -> bytes:
    """A figure as a PNG file."""
    from nanogpt_lib.plots.style import accept_boxes  # slow, unless there are figures already

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        accept_boxes()  # also where somebody collects all warnings
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
