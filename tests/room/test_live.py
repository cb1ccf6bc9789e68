"""The live curve: in a real Jupyter kernel, and where there is none."""

import base64
import io
import math
import re
import time
import warnings

import pytest
import torch
from jupyter_client.manager import start_new_kernel

from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.room import live
from nanogpt_lib.room.live import LivePlot
from nanogpt_lib.runs.callbacks import Progress, WriteSample
from nanogpt_lib.training import Callback, TrainConfig, new_run, train

RUNGS = [
    {"k": -1, "name": "uniform guess", "loss": 4.17},
    {"k": 0, "name": "character frequencies", "loss": 3.35},
    {"k": 1, "name": "1 character of context", "loss": 2.49},
]


def small_run(ids, **config):
    torch.manual_seed(1)
    train_ids, val_ids = ids
    model = GPT(GPTConfig(block_size=16, n_layer=1, n_head=2, n_embd=16))
    usual = {"max_steps": 20, "batch_size": 4, "eval_interval": 10, "eval_batches": 1}
    return new_run(model, train_ids, val_ids, TrainConfig(**(usual | config)))


# In a kernel

SET_UP = """
import sys
sys.modules["ipywidgets"] = None  # as if it were not installed
import torch
from nanogpt_lib import CharTokenizer, GPT, GPTConfig, LivePlot, TrainConfig, WriteSample
from nanogpt_lib import load_corpus, new_run, split, train
torch.set_num_threads(1)
text = load_corpus()
tokenizer = CharTokenizer.train(text)
ids = split(torch.tensor(tokenizer.encode(text)))

def small_run(max_steps, **config):
    torch.manual_seed(1)
    model = GPT(GPTConfig(block_size=16, n_layer=1, n_head=2, n_embd=16, dropout=0.1))
    usual = {"batch_size": 4, "eval_interval": 10, "eval_batches": 1, "learning_rate": 1e-2}
    return new_run(model, *ids, TrainConfig(max_steps, **(usual | config)))
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A real kernel, as a notebook has it; gives a function that runs a cell.

    The function returns the messages that a front end would get.
    """
    manager, client = start_new_kernel(cwd=str(tmp_path_factory.mktemp("kernel")))

    def run_cell(code, while_busy=None):
        messages = []

        def note(message):
            messages.append(message)
            if while_busy:
                while_busy(manager, messages)

        client.execute_interactive(code, timeout=120, output_hook=note)
        errors = [m["content"]["evalue"] for m in messages if m["msg_type"] == "error"]
        assert not errors
        return messages

    run_cell(SET_UP)
    yield run_cell
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def of_kind(messages, kind):
    return [m["content"] for m in messages if m["msg_type"] == kind]


def updates_of(messages, shown):
    """The updates of what was put on show by a display_data message."""
    name = shown["transient"]["display_id"]
    updates = of_kind(messages, "update_display_data")
    return [update for update in updates if update["transient"]["display_id"] == name]


def words_of(messages):
    """The texts below the picture, in order."""
    words = of_kind(messages, "display_data")[1]
    return [c["data"]["text/plain"] for c in (words, *updates_of(messages, words))]


def printed(messages):
    return "".join(content["text"] for content in of_kind(messages, "stream"))


def is_png(content) -> bool:
    return base64.b64decode(content["data"]["image/png"]).startswith(b"\x89PNG")


@pytest.mark.slow
def test_one_picture_and_one_text_are_redrawn_in_place(kernel):
    began = time.perf_counter()
    messages = kernel(
        "run = train(small_run(40), [WriteSample(tokenizer), LivePlot(title='mine')])"
    )
    seconds = time.perf_counter() - began
    picture, words = of_kind(messages, "display_data")
    assert is_png(picture)
    assert picture["metadata"]["image/png"]["alt"].startswith("Step 0: training loss 4.")
    assert set(words["data"]) == {"text/plain"}
    drawn, told = updates_of(messages, picture), updates_of(messages, words)
    assert len(drawn) + len(told) == len(of_kind(messages, "update_display_data"))
    # At 0, the first two are put on show; updates are 4 evaluations, the end, once a second.
    assert 5 <= len(drawn) <= len(told) <= 5 + seconds
    assert all(is_png(update) for update in drawn)
    assert not of_kind(messages, "clear_output")
    assert not of_kind(messages, "stream")  # nothing on stdout or stderr


@pytest.mark.slow
def test_the_words_say_where_it_is_what_it_means_and_what_it_writes(kernel):
    messages = kernel("run = train(small_run(40), [WriteSample(tokenizer), LivePlot()])")
    *texts, last = words_of(messages)
    assert texts[0].startswith("Training: step 0 of 40. ")
    under_way = r"Training: step 20 of 40\. .* left\. Loss of the latest batches: 3\.\d\d\.\n"
    assert any(re.match(under_way, words) for words in texts)
    assert re.match(r"Finished: step 40 of 40\. \d+ s done\.\nValidation loss 3\.\d+ at", last)
    assert "at step 40: " in last
    assert "What the model wrote at step 40:\n\n    " in last


@pytest.mark.slow
def test_watching_changes_no_weight_and_no_dice(kernel):
    kernel(
        """
watched, alone = small_run(25), small_run(25)
torch.manual_seed(2); train(watched, [LivePlot()]); dice = torch.get_rng_state()
torch.manual_seed(2); train(alone)
assert torch.equal(dice, torch.get_rng_state())
for a, b in zip(watched.model.parameters(), alone.model.parameters(), strict=True):
    assert torch.equal(a, b)
"""
    )


@pytest.mark.slow
def test_nothing_stays_open_in_pyplot(kernel):
    kernel("train(small_run(5), [LivePlot()])\nimport matplotlib.pyplot as plt")
    assert printed(kernel("print(plt.get_fignums())")) == "[]\n"


@pytest.mark.slow
def test_the_kernels_interrupt_stops_and_training_again_goes_on(kernel):
    interrupts = []

    def interrupt(manager, messages):
        if len(of_kind(messages, "update_display_data")) >= 6 and not interrupts:
            interrupts.append("sent")  # once: a second one would stop it at once
            manager.interrupt_kernel()

    code = "plot = LivePlot(); run = train(small_run(10**6, eval_interval=50), [plot])"
    messages = kernel(code, while_busy=interrupt)
    assert "Stopping after this step" in printed(messages)
    last = words_of(messages)[-1]
    assert last.startswith("Interrupted: step ")
    assert "call train again" in last
    messages = kernel("done = run.step; run.config.max_steps = done + 7; run = train(run, [plot])")
    assert len(of_kind(messages, "display_data")) == 2  # in the cell that goes on
    assert printed(kernel("print(run.step - done, run.stopped)")) == "7 finished\n"
    assert printed(kernel("print([s for s, _ in plot.batches] == [*range(1, run.step + 1)])")) == (
        "True\n"
    )


# Elsewhere


def test_without_a_kernel_it_prints_what_progress_prints(ids):
    outputs = []
    for make in (LivePlot, Progress):
        file = io.StringIO()
        train(small_run(ids), [make(RUNGS, file=file)])
        outputs.append(re.sub(r"\d+ s (done|left)", "", file.getvalue()))
    assert outputs[0] == outputs[1]
    assert outputs[0].count("step ") == 3


def test_a_shell_in_a_terminal_is_no_notebook(monkeypatch):
    class Terminal:
        kernel = None

    import IPython

    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    assert not live.in_notebook()
    monkeypatch.setattr(IPython, "get_ipython", Terminal)
    assert not live.in_notebook()


# What is drawn, and when


def pictures(bundles):
    return [bundle for bundle in bundles if "image/png" in bundle]


def texts(bundles):
    return [bundle["text/plain"] for bundle in bundles if "image/png" not in bundle]


def test_between_evaluations_it_is_refreshed_at_most_once_a_second(ids, shown):
    began = time.perf_counter()
    train(small_run(ids, max_steps=300, eval_interval=1000), [LivePlot(RUNGS)])
    seconds = time.perf_counter() - began
    assert 3 <= len(pictures(shown)) <= len(texts(shown)) <= 9 + seconds  # 8 evaluations, the end


def test_where_drawing_takes_long_the_words_go_on_and_pictures_wait(ids, shown, monkeypatch):
    def slow(figure):
        time.sleep(0.05)
        return ""

    class Slow(Callback):
        def on_step(self, run):
            time.sleep(0.02)

    monkeypatch.setattr(live, "png", slow)
    monkeypatch.setattr(live, "SECONDS", 0.01)
    plot = LivePlot(RUNGS)
    train(small_run(ids, max_steps=15, eval_interval=1000), [plot, Slow()])
    assert len(pictures(shown)) == 4  # at 0, 10, 15, the end; each holds up the next for 0.5 s
    assert len(texts(shown)) >= 3 + 10


def test_losses_are_fetched_for_a_refreshment_only(ids, shown, monkeypatch):
    monkeypatch.setattr(live, "SECONDS", 1e9)  # none between the evaluations

    class Watch(Callback):
        waiting = 0

        def on_step(self, run):
            self.waiting = max(self.waiting, len(plot.waiting))

    plot, watch = LivePlot(RUNGS), Watch()
    run = train(small_run(ids), [plot, watch])
    assert watch.waiting == 10  # from one evaluation to the next
    assert [step for step, _ in plot.batches] == list(range(1, 21))
    assert plot.batches[-1][1] == run.loss.item()


def test_a_plot_begins_anew_with_another_run(ids, shown):
    plot = LivePlot(RUNGS)
    train(small_run(ids), [plot])
    train(small_run(ids, max_steps=3), [plot])
    assert [step for step, _ in plot.batches] == [1, 2, 3]


def test_a_loss_that_is_no_number_is_drawn_without_a_warning(ids, shown):
    class Break(Callback):
        def on_step(self, run):
            if run.step == 12:
                run.loss = torch.tensor(math.inf)
            if run.step == 13:
                run.model.lm_head.weight.data.fill_(math.nan)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(small_run(ids), [Break(), LivePlot(RUNGS)])
    assert "diverged" in texts(shown)[-1]


def test_steps_that_are_fitted_to_the_time_are_drawn(ids, shown):
    class Shorten(Callback):
        def on_step(self, run):
            run.config.max_steps = 12

    train(small_run(ids, max_steps=500), [Shorten(), LivePlot(RUNGS)])
    assert texts(shown)[-1].startswith("Finished: step 12 of 12.")


def test_samples_are_shown_whichever_callback_comes_first(ids, tokenizer, shown):
    train(small_run(ids), [LivePlot(RUNGS), WriteSample(tokenizer, max_new_tokens=5)])
    assert "What the model wrote at step 20:" in texts(shown)[-1]
