"""`make notebooks`: what it keeps, what it takes out, and which notebooks it refuses to write."""

import base64
import io
import runpy
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image, ImageChops, ImageStat

from nanogpt_lib import plots

pytestmark = pytest.mark.slow

TOOL = Path(__file__).resolve().parent.parent / "tools" / "run_notebooks.py"
main = runpy.run_path(str(TOOL))["main"]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Such as a caller may have; what the tool changes in it is put right afterwards."""
    monkeypatch.setenv("NANOGPT_PRESET", "smoke")
    monkeypatch.setenv("NANOGPT_STRICT", "1")
    monkeypatch.setenv("NANOGPT_RUNS", "runs")
    monkeypatch.delenv("PYDEVD_DISABLE_FILE_VALIDATION", raising=False)


@pytest.fixture
def remake(tmp_path):
    """Writes a notebook with these cells and has the tool run it; returns its status and path."""

    def run(*cells):
        path = tmp_path / "one.ipynb"
        notebook = new_notebook(cells=list(cells), metadata={"widgets": {"state": {}}, "colab": {}})
        nbformat.write(notebook, path)
        return main([path]), path

    return run


def test_it_runs_all_cells_in_order_and_keeps_their_outputs(remake):
    old = new_code_cell("a = 1", execution_count=7, outputs=[new_output("stream", text="old")])
    status, path = remake(new_markdown_cell("# One"), old, new_code_cell("print(a + 1)"))
    assert status == 0
    _, first, second = nbformat.read(path, as_version=4).cells
    assert (first.execution_count, second.execution_count) == (1, 2)
    assert (first.outputs, second.outputs[0].text) == ([], "2\n")


def test_what_depends_on_the_machine_or_the_moment_is_taken_out(remake):
    cell = new_code_cell(
        "import sys\nfor i in range(50):\n    print(i)\n    sys.stdout.flush()",
        metadata={"execution": {}, "tags": ["t"], "exercise": "e", "slideshow": {}, "vscode": {}},
    )
    _, path = remake(cell)
    first = path.read_bytes()
    notebook = nbformat.reads(first.decode(), as_version=4)
    assert notebook.metadata == {"colab": {}, "language_info": {"name": "python"}}
    assert notebook.cells[0].metadata == {"tags": ["t"], "exercise": "e", "slideshow": {}}
    assert [o.output_type for o in notebook.cells[0].outputs] == ["stream"]  # one piece
    assert main([path]) == 0
    assert path.read_bytes() == first


def test_text_before_and_after_a_picture_keeps_its_place(remake):
    code = "from IPython.display import HTML, display\nprint(1)\ndisplay(HTML('x'))\nprint(2)"
    _, path = remake(new_code_cell(code))
    outputs = nbformat.read(path, as_version=4).cells[0].outputs
    assert [o.output_type for o in outputs] == ["stream", "display_data", "stream"]


def test_the_kernelless_widget_view_goes_and_what_stands_in_for_it_stays(remake):
    code = (
        "from IPython.display import display\n"
        "view = 'application/vnd.jupyter.widget-view+json'\n"
        "display({view: {}, 'text/plain': 'words'}, raw=True)"
    )
    _, path = remake(new_code_cell(code))
    assert nbformat.read(path, as_version=4).cells[0].outputs[0].data == {"text/plain": "words"}


def test_pictures_get_smaller_and_look_the_same(remake):
    code = (
        "%matplotlib inline\n"
        "from nanogpt_lib import plots\n"
        "plots.bars(['a', 'b'], [1, 2], title='Two')"
    )
    _, path = remake(new_code_cell(code))
    (output,) = nbformat.read(path, as_version=4).cells[0].outputs
    kept = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).convert("RGB")
    fresh = io.BytesIO()
    kept.save(fresh, format="PNG")
    assert len(base64.b64decode(output.data["image/png"])) < 0.7 * len(fresh.getvalue())
    figure = io.BytesIO()
    plots.bars(["a", "b"], [1, 2], title="Two").savefig(figure, dpi=100, bbox_inches="tight")
    original = Image.open(figure).convert("RGB")
    assert kept.size == original.size
    assert ImageStat.Stat(ImageChops.difference(kept, original)).mean < [1, 1, 1]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('ill')", ": ill"),
        ("import sys\nprint('careful', file=sys.stderr)", "It wrote to stderr:\ncareful"),
        ("import warnings\nwarnings.warn('old')", "UserWarning: old"),
        ("import os\nos._exit(1)", "Kernel died"),
    ],
)
def test_a_notebook_in_trouble_is_left_as_it_was(remake, capsys, code, reason):
    status, path = remake(new_code_cell("1 + 1"), new_code_cell(code))
    assert status == 1
    assert reason in capsys.readouterr().out
    assert nbformat.read(path, as_version=4).cells[0].outputs == []
    assert list(path.parent.iterdir()) == [path]


def test_trouble_in_one_does_not_keep_the_others_from_being_done(tmp_path):
    for name, code in (("a", "1 / 0"), ("b", "1 + 1")):
        nbformat.write(new_notebook(cells=[new_code_cell(code)]), tmp_path / f"{name}.ipynb")
    assert main([tmp_path / "a.ipynb", tmp_path / "b.ipynb"]) == 1
    assert nbformat.read(tmp_path / "b.ipynb", as_version=4).cells[0].execution_count == 1


def test_presets_and_strictness_of_the_caller_do_not_count(remake):
    code = "import os\nprint(os.environ.get('NANOGPT_PRESET'), os.environ.get('NANOGPT_STRICT'))"
    _, path = remake(new_code_cell(code))
    assert nbformat.read(path, as_version=4).cells[0].outputs[0].text == "None None\n"
