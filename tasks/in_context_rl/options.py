"""What the builders of learning histories and the models of them can be asked for."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainers.options import MAX_SEED, option


@dataclass
class HistoryOptions:
    """Which tasks of a room, how their histories come about, and how acting on held-out tasks is measured."""

    room: ClassVar[str] = "darkroom"
    """Which room it is: a name in `tasks.in_context_rl.rooms.ROOMS`."""

    size: int = option(9, "rows and columns of the room", least=2, most=15)
    horizon: int = option(20, "steps of an episode", least=1, most=10_000)
    source: Literal["q_learning", "fading_oracle"] = option(
        "q_learning", "who makes the histories: a learner, or an optimal policy whose noise fades"
    )
    n_streams: int = option(100, "histories of every training task", least=1)
    history_steps: int = option(4000, "steps of a history; whole episodes", least=1)
    keep_every: int = option(1, "keep one episode of so many: histories that improve faster", least=1)
    q_step_size: float = option(
        1.0, "step size of Q-learning; 1 suits rooms, where nothing is left to chance", least=1e-9, most=1
    )
    q_discount: float = option(0.9, "discount of Q-learning", least=0, most=0.9999)
    q_initial: float = option(0.5, "every Q at first; above 0 the learner seeks out what it has not tried", least=0)
    noise_start: float | None = option(
        None, "share of random actions at the beginning; default: 0.1, of fading_oracle 1", least=0, most=1
    )
    noise_end: float = option(0.0, "share of random actions at the end", least=0, most=1)
    noise_share: float = option(1.0, "share of the history after which the noise stays as it is", least=1e-9, most=1)
    train_share: float = option(0.9, "share of the tasks that are not held out for test", least=0, most=1)
    split_seed: int = option(0, "seed of the split into training and test tasks", least=0, most=MAX_SEED)
    n_val_tasks: int = option(8, "of the training tasks, so many are held out to choose the checkpoint", least=0)
    max_train_tasks: int | None = option(None, "train on no more than so many tasks", least=1)
    eval_streams: int = option(4, "histories of every held-out task, for loss and accuracy", least=1)
    eval_episodes: int = option(50, "episodes that the model acts in one go on every held-out task", least=1)
    eval_rollouts: int = option(8, "how often it does so", least=1)
    dataset_seed: int = option(42, "seed of the histories", least=0, most=MAX_SEED)


@dataclass
class HistoryModelOptions:
    """The model and how much it sees; every name is one of `tasks.in_context_rl.model.HistoryConfig`."""

    architecture: Literal["ad", "compressed_ad"] = option("ad", "forget what leaves the window, or compress it")
    window: int = option(100, "steps seen at once", least=1)
    keep: int = option(50, "steps that stay when the window is full and one more comes", least=0)
    n_latents: int = option(15, "vectors that older steps are folded into (compressed_ad)", least=1)
    gated: bool = option(True, "each latent is replaced by a learned share only (compressed_ad)")
    depth_weights: str | None = option(
        None,
        "how often a training batch is of which depth, the compressions before its last step; default: 0:1,1:2,2:3,3:4"
        " (compressed_ad) or 0:1",
    )
    hidden_size: int = option(64, "width of the residual stream", least=2)
    num_hidden_layers: int = option(4, "blocks of the decoder", least=1, most=1000)
    num_encoder_layers: int = option(2, "blocks of the compression encoder (compressed_ad)", least=1, most=1000)
    num_attention_heads: int = option(4, "attention heads; must divide hidden_size into an even head size", least=1)
    intermediate_size: int = option(168, "width inside the MLP", least=1)
    dropout: float = option(0.0, "dropout on what a block adds", least=0, most=0.99)
    init_scale: float = option(0.02, "standard deviation of the initial weights", least=0)
    act_temperature: float = option(1.0, "of the actions that are drawn; 0: always the likeliest", least=0)
