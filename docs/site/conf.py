"""Sphinx's settings for the site. tools/site.py runs it over copies of the course's pages."""

import os
import re
from functools import partial

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

import nanogpt_lib

OWNER, NAME = os.environ["COURSE_OWNER"], os.environ["COURSE_NAME"]

project = "Train a GPT from scratch"
author = "The nanogpt_lib authors"
copyright = f"{author}. Text: CC BY 4.0, code: MIT"
release = nanogpt_lib.__version__
html_title = project
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["README.md"]  # parts of it are on the front page

nb_execution_mode = "off"  # the outputs are those that are committed
nb_code_prompt_show = "Show the {type}"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = [
    "myst.header",  # "###" may follow "#" in a notebook
    "mystnb.unknown_mime_type",  # a slider shows nothing without its kernel
]
html_theme = "sphinx_book_theme"
html_theme_options = {
    "repository_url": f"https://github.com/{OWNER}/{NAME}",
    "use_repository_button": True,
    "use_issues_button": True,
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "use_download_button": False,
    "navbar_persistent": [],  # the search field is in the side bar
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_static_path = ["static"]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_extra_path = ["extra"]  # the model's page, as it is
html_math_renderer = "mathml"  # browsers draw it themselves: no script from elsewhere
html_copy_source = False
html_last_updated_fmt = None

# The library's docstrings are plain text; what stands between backticks is code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"


def as_markup(app, what, name, obj, options, lines):
    """Turns a docstring, which is plain text, into reStructuredText that looks like it.

    A paragraph of "name: what it is", with its continuations indented, becomes a list.
    """
    paragraphs = "\n".join(lines).replace("*", r"\*").replace("|", r"\|").split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        if re.match(r"\w+: ", paragraph) and re.search(r"^    \S", paragraph, re.MULTILINE):
            listed = re.sub(r"^ {4}", "  ", paragraph, flags=re.MULTILINE)
            paragraphs[number] = re.sub(r"^(\w+): ", r"- `\1`: ", listed, flags=re.MULTILINE)
    lines[:] = "\n\n".join(paragraphs).split("\n")


def formula(self, node, block: bool):
    """Writes a formula as MathML, which browsers show and screen readers read."""
    tex = re.sub(r"\\[Bb]ig(?![a-z])", "", node.astext())  # docutils does not know these two
    tex = re.sub(r"\\dots\b", r"\\ldots", tex)
    mathml = tex2mathml(tex, as_block=block).replace("\n", "")
    self.body.append(f'<div class="math">{mathml}</div>' if block else mathml)
    raise SkipNode


def setup(app):
    app.connect("autodoc-process-docstring", as_markup)
    renderers = (partial(formula, block=False), None), (partial(formula, block=True), None)
    app.add_html_math_renderer("mathml", *renderers)
