"""The work of nanoGPT's CPU preset, done by the transformers library and its Trainer."""

import sys
import tempfile

import torch
from transformers import Trainer, TrainingArguments

from benchmarks.peers import gpt2
from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.model import GPTConfig
from nanogpt_lib.tokenizer import CharTokenizer

T = 64


class Windows(torch.utils.data.Dataset):
    """Every window of T tokens; the Trainer shuffles them."""

    def __init__(self, ids):
        self.ids = ids

    def __len__(self):
        return len(self.ids) - T

    def __getitem__(self, i):
        x = self.ids[i : i + T]
        return {"input_ids": x, "labels": x}  # it shifts the labels itself


def main(steps: int) -> None:
    text = load_corpus()
    tokenizer = CharTokenizer.train(text)
    train, val = (torch.tensor(tokenizer.encode(part)) for part in split(text))
    few = torch.utils.data.Subset(Windows(val), range(0, len(val) - T, len(val) // 240))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=12,
            per_device_eval_batch_size=12,
            learning_rate=1e-3,
            lr_scheduler_type="cosine",
            warmup_steps=100,
            weight_decay=0.1,
            adam_beta2=0.99,
            eval_strategy="steps",
            eval_steps=250,
            save_steps=250,
            save_total_limit=1,
            logging_steps=250,
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        model = gpt2(GPTConfig(block_size=T, n_layer=4, n_head=4, n_embd=128))
        Trainer(model, arguments, train_dataset=Windows(train), eval_dataset=few).train()


if __name__ == "__main__":
    main(int(sys.argv[1]))
