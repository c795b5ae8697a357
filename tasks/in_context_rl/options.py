"""What the builders of learning histories and the models of them can be asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from trainers.options import Range, option


@dataclass
class HistoryOptions:
    """Which tasks of a room, how their histories come about, and how acting on held-out tasks is measured."""

    size: int = option(9, "rows and columns of the room")
    horizon: int = option(20, "steps of an episode")
    source: Literal["q_learning", "fading_oracle"] = option(
        "q_learning", "who makes the histories: a learner, or an optimal policy whose noise fades"
    )
    n_streams: int = option(100, "histories of every training task")
    history_steps: int = option(4000, "steps of a history; whole episodes")
    keep_every: int = option(1, "keep one episode of so many: histories that improve faster")
    q_step_size: float = option(1.0, "step size of Q-learning; 1 suits rooms, where nothing is left to chance")
    q_discount: float = option(0.9, "discount of Q-learning")
    q_initial: float = option(0.5, "every Q at first; above 0 the learner seeks out what it has not tried")
    noise_start: float | None = option(
        None, "share of random actions at the beginning; default: 0.1, of fading_oracle 1"
    )
    noise_end: float = option(0.0, "share of random actions at the end")
    noise_share: float = option(1.0, "share of the history after which the noise stays as it is")
    train_share: float = option(0.9, "share of the tasks that are not held out for test")
    split_seed: int = option(0, "seed of the split into training and test tasks")
    n_val_tasks: int = option(8, "of the training tasks, so many are held out to choose the checkpoint")
    max_train_tasks: int | None = option(None, "train on no more than so many tasks")
    eval_streams: int = option(4, "histories of every held-out task, for loss and accuracy")
    eval_episodes: int = option(50, "episodes that the model acts in one go on every held-out task")
    eval_rollouts: int = option(8, "how often it does so")
    dataset_seed: int = option(42, "seed of the histories")

    RANGES: ClassVar[Mapping[str, Range]] = {
        "size": (2, 15),
        "horizon": (1, 10_000),
        "n_streams": (1, None),
        "history_steps": (1, None),
        "keep_every": (1, None),
        "q_step_size": (1e-9, 1),
        "q_discount": (0, 0.9999),
        "q_initial": (0, None),
        "noise_start": (0, 1),
        "noise_end": (0, 1),
        "noise_share": (1e-9, 1),
        "train_share": (0, 1),
        "split_seed": (0, 2**63 - 1),
        "n_val_tasks": (0, None),
        "max_train_tasks": (1, None),
        "eval_streams": (1, None),
        "eval_episodes": (1, None),
        "eval_rollouts": (1, None),
        "dataset_seed": (0, 2**63 - 1),
    }


@dataclass
class HistoryModelOptions:
    """The model and how much it sees; every name is one of `tasks.in_context_rl.model.HistoryConfig`."""

    architecture: Literal["ad", "compressed_ad"] = option("ad", "forget what leaves the window, or compress it")
    window: int = option(100, "steps seen at once")
    keep: int = option(50, "steps that stay when the window is full and one more comes")
    n_latents: int = option(15, "vectors that older steps are folded into (compressed_ad)")
    gated: bool = option(True, "each latent is replaced by a learned share only (compressed_ad)")
    depth_weights: str | None = option(
        None,
        "how often a training batch is of which depth, the compressions before its last step; default: 0:1,1:2,2:3,3:4"
        " (compressed_ad) or 0:1",
    )
    hidden_size: int = option(64, "width of the residual stream")
    num_hidden_layers: int = option(4, "blocks of the decoder")
    num_encoder_layers: int = option(2, "blocks of the compression encoder (compressed_ad)")
    num_attention_heads: int = option(4, "attention heads; must divide hidden_size into an even head size")
    intermediate_size: int = option(168, "width inside the MLP")
    dropout: float = option(0.0, "dropout on what a block adds")
    init_scale: float = option(0.02, "standard deviation of the initial weights")
    act_temperature: float = option(1.0, "of the actions that are drawn; 0: always the likeliest")

    RANGES: ClassVar[Mapping[str, Range]] = {
        "window": (1, None),
        "keep": (0, None),
        "n_latents": (1, None),
        "hidden_size": (2, None),
        "num_hidden_layers": (1, 1000),
        "num_encoder_layers": (1, 1000),
        "num_attention_heads": (1, None),
        "intermediate_size": (1, None),
        "dropout": (0, 0.99),
        "init_scale": (0, None),
        "act_temperature": (0, None),
    }
