"""The model card: what a stranger has to know before using a model (Mitchell et al. 2019,
arXiv:1810.03993).

Hugging Face's Hub shows the README.md of a model's folder as its page. The block of YAML at the top
is for the Hub's search. Names that a person has given, such as a file's, stand as code: no markup
in them acts.
"""

from nanogpt_lib.bpe import BPETokenizer
from nanogpt_lib.machine.terminal import harmless

CARD = """\
---
library_name: transformers
pipeline_tag: text-generation
tags:
- gpt2
- from-scratch
---
# A small GPT, trained from scratch

| | |
|---|---|
| Architecture | GPT-2: {n_layer} layers, {n_head} heads, width {n_embd} |
| Parameters | {parameters:,} |
| Context | {block_size} tokens |
| Vocabulary | {symbols} |
| Trained on | {text} |
| Training | {training} |
| Loss | {loss} |

## Use

```python
from transformers import pipeline

write = pipeline("text-generation", "THIS FOLDER, OR USER/NAME")
print(write({prompt!r})[0]["generated_text"])
```

A text ends at {block_size} tokens, its prompt included.

## What it is for, and what not

It was trained to learn how language models work. It continues a text in the style of what it was
trained on. It knows no facts, follows no instructions, and has had no training in what not to say.
It may repeat passages of its training text word for word.

## Not stated here

The licence of the weights and of the training text, and who made the model: add both before you
share it.
"""


def card(model, tokenizer, data: dict) -> str:
    """The card of a model, in Markdown. data: the snapshot that `load_model` gives."""
    size = model.config
    first = data["about"].get("run", {})
    kind = "pieces of words" if isinstance(tokenizer, BPETokenizer) else "characters"
    shakespeare = first.get("text", {}).get("name") == "Tiny Shakespeare"
    return CARD.format(
        parameters=model.num_params(),
        n_layer=size.n_layer,
        n_head=size.n_head,
        n_embd=size.n_embd,
        block_size=size.block_size,
        symbols=f"{tokenizer.vocab_size} {kind}",
        text=trained_on(first.get("text", {}), data["about"].get("sha256")),
        training=training(data),
        loss=loss(data),
        prompt="ROMEO:" if shakespeare else "",  # other texts may lack these letters
    )


def trained_on(text: dict, sha256: str | None) -> str:
    words = as_code(text.get("name", "a text without a name"))
    if "train_tokens" in text:
        words += f", {text['train_tokens']:,} tokens"
    return f"{words}, sha256 {as_code(sha256[:16])} ..." if sha256 else words


def training(data: dict) -> str:
    config = data["train_config"]
    rate, batch = config["learning_rate"], config["batch_size"]
    return f"{data['step']:,} steps of {batch} contexts, AdamW, highest rate {rate:g}"


def loss(data: dict) -> str:
    """The lowest validation loss of the run: the checkpoint that is exported was saved there."""
    losses = [p["val_loss"] for p in data["history"] if p["val_loss"] is not None]
    if not losses:
        return "not measured"
    return f"{min(losses):.3f} nats a token on the validation text, an estimate during training"


def as_code(words: str) -> str:
    """Text as code in a table of Markdown: on one line, with nothing in it that acts."""
    words = " ".join(harmless(str(words)).split())
    return "`" + words.replace("`", "'").replace("|", "/") + "`"
