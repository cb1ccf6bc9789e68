"""What a picture of a notebook shows, in words: its alternative text on the site and on slides."""

import copy
import html
import re


def description(outputs: list[dict], section: str) -> str | None:
    """The alternative text of a cell's picture; None if there is no picture.

    It is what the output brings as text/plain. A figure that brings no description of its own is
    named by the section that it is in.
    """
    for output in outputs:
        data = output.get("data", {})
        if "image/png" in data:
            words = "".join(data.get("text/plain", "")).strip()
            bare = re.sub(r"[*_`$]", "", section)
            return f"Picture in the section {bare}" if words[:1] in ("", "<") else words
    return None


def last_heading(text: str, before: str) -> str:
    """The last heading in a cell of Markdown, or the one before it."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return headings[-1] if headings else before


def with_descriptions(notebook):
    """A copy of a notebook whose pictures carry their alternative text, for nbconvert's pages."""
    notebook, section = copy.deepcopy(notebook), ""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            section = last_heading("".join(cell["source"]), section)
        for output in cell.get("outputs", []):
            if words := description([output], section):
                png = output["data"].pop("image/png").replace("\n", "")
                alt = html.escape(words, quote=True)
                image = f'<img alt="{alt}" src="data:image/png;base64,{png}">'
                output["data"] = type(output["data"])({"text/html": image})
    return notebook
