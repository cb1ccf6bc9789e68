"""The course's exercises: `from nanogpt_lib import exercises as ex`, then `ex.NAME.check(...)`.

A notebook's exercises are imported when the first of them is used.
"""

from importlib import import_module

_HOME = {
    "n00_start": (
        "tokens_per_step",
        "even_guess_loss",
        "choices",
    ),
    "n01_tokenizer": (
        "symbols_of",
        "encode",
        "bigram_counts",
        "count_runs",
        "embedding_cost",
        "context_and_targets",
        "one_hot",
    ),
    "n02_attention": (
        "causal_mean",
        "causal_weights",
        "attention_scores",
        "attention_head",
        "split_heads",
    ),
    "n03_model": (
        "layer_norm",
        "block_forward",
        "residual_std",
        "initial_loss",
        "count_params",
    ),
    "n03_build": (
        "mlp",
        "merge_heads",
        "self_attention",
        "gpt",
        "MyGPT",
    ),
    "n04_training": (
        "loss_by_hand",
        "sgd_step",
        "adamw_step",
        "rate_at",
        "clip_factor",
    ),
    "n05_loss_curves": (
        "best_step",
        "bits_per_character",
        "stops_at",
        "longest_copy",
        "by_ear",
        "patient_a",
        "patient_b",
        "patient_c",
        "patient_d",
        "patient_e",
        "patient_f",
    ),
    "n06_sampling": (
        "greedy_texts",
        "temperature_softmax",
        "top_k_chances",
        "top_p_chances",
        "entropy",
    ),
    "n07_subwords": (
        "most_frequent_pair",
        "merge_pair",
        "gpt2_pieces",
        "bpe_encode",
        "bpe_decode",
        "chat_ids",
        "bits_a_character",
        "stuck_at",
    ),
    "n08_post_training": (
        "answer_targets",
        "fewer_problems",
        "carries",
        "group_advantages",
        "lora_layer",
    ),
    "n09_modalities": (
        "pieces_of_a_photo",
        "digits_by_chance",
        "to_patches",
        "lean_of",
        "caption_loss",
        "log_frames",
    ),
    "n10_speedrun": (
        "turned",
        "newton_schulz",
        "pair_numbers",
    ),
    "n11_ship_it": (
        "bootstrap_interval",
        "gain_interval",
        "to_int8",
        "bits_a_weight",
        "read_stream",
        "last_waits",
    ),
    "n12_beyond": (
        "rows_of",
        "ring_time",
        "fitted",
    ),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
# Each exercise, in the course's order, and the notebook that it is in.
HOMES = {name: module.split("_")[0][1:] for name, module in _MODULE_OF.items()}
__all__ = sorted(_MODULE_OF)


def __getattr__(name):
    if name == "MODULES":  # their names begin with n and the notebook's number
        return {home: import_module(f"{__name__}.{home}") for home in _HOME}
    if name == "ALL":
        return {each: __getattr__(each) for each in _MODULE_OF}
    if name not in _MODULE_OF:
        raise AttributeError(f"there is no exercise {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__():
    return [*globals(), *__all__]
