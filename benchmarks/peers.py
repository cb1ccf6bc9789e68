"""Other programs to compare with. nanoGPT is the user's own clone; the kit has no copy of it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from nanogpt_lib.corpus import load_corpus

# Its README's command for a CPU.
CPU_PRESET = [
    "config/train_shakespeare_char.py",
    *("--device=cpu", "--compile=False", "--eval_iters=20", "--log_interval=1"),
    *("--block_size=64", "--batch_size=12", "--n_layer=4", "--n_head=4", "--n_embd=128"),
    *("--max_iters=2000", "--lr_decay_iters=2000", "--dropout=0.0"),
]


class NanoGPT:
    """A clone of github.com/karpathy/nanoGPT, in its own folder."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        if not (self.folder / "train.py").exists():
            sys.exit(f"{folder} holds no train.py: --nanogpt needs the folder of a nanoGPT clone")
        self.data = self.folder / "data" / "shakespeare_char"

    def prepare(self) -> None:
        """Makes its data files with its own script; our copy of the text saves the download."""
        if not (self.data / "train.bin").exists():
            (self.data / "input.txt").write_bytes(load_corpus().encode())
            subprocess.run([sys.executable, "prepare.py"], cwd=self.data, check=True)

    def train_command(self, *arguments: str) -> list[str]:
        return [sys.executable, "train.py", *CPU_PRESET, *arguments]

    def module(self):
        """Its model.py."""
        spec = importlib.util.spec_from_file_location("nanogpt_peer", self.folder / "model.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def model(self, size):
        """Its model in the shape of our GPTConfig."""
        names = ("vocab_size", "block_size", "n_layer", "n_head", "n_embd", "dropout", "bias")
        peer = self.module()
        return peer.GPT(peer.GPTConfig(**{name: getattr(size, name) for name in names}))

    def whole_val_loss(self) -> float:
        """The loss of its latest checkpoint on the whole validation split, by our `evaluate`."""
        import torch

        from nanogpt_lib.corpus import split
        from nanogpt_lib.tokenizer import CharTokenizer
        from nanogpt_lib.training import evaluate

        file = self.folder / "out-shakespeare-char" / "ckpt.pt"
        saved = torch.load(file, map_location="cpu", weights_only=True)
        peer = self.module()
        model = peer.GPT(peer.GPTConfig(**saved["model_args"]))
        model.load_state_dict(saved["model"])
        text = load_corpus()
        ids = CharTokenizer.train(text).encode(split(text)[1])  # both sort their characters
        return evaluate(model, torch.tensor(ids))


def gpt2(size):
    """The transformers library's GPT-2 in the shape of our GPTConfig, but always with biases.

    Its options `attn_pdrop` and so on are our dropout.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=size.vocab_size,
            n_positions=size.block_size,
            n_embd=size.n_embd,
            n_layer=size.n_layer,
            n_head=size.n_head,
            activation_function="gelu",
            resid_pdrop=size.dropout,
            embd_pdrop=size.dropout,
            attn_pdrop=size.dropout,
            use_cache=False,
        )
    )
