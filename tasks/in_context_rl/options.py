"""Options of learning histories and of the models of them."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainers.options import MAX_SEED, option


@dataclass
class WorldOptions:
    """Histories in any world, and evaluation on held-out tasks."""

    n_streams: int = option(100, "histories per training task", least=1)
    history_steps: int = option(4000, "steps of a history, complete episodes", least=1)
    keep_every: int = option(1, "keep every k-th episode: histories that improve faster", least=1)
    train_share: float = option(0.9, "share of tasks not held out for test", least=0, most=1)
    split_seed: int = option(0, "seed of the split into training and test tasks", least=0, most=MAX_SEED)
    test_fold: int = option(
        0, "which tasks are held out for test: the last of the shuffled ones (0), those before (1), and so on", least=0
    )
    n_val_tasks: int = option(8, "training tasks held out to choose the checkpoint", least=0)
    max_train_tasks: int | None = option(None, "largest number of tasks to train on; default: all", least=1)
    eval_streams: int = option(4, "histories per held-out task, for loss and accuracy", least=1)
    eval_episodes: int = option(50, "consecutive episodes of a rollout", least=1)
    eval_rollouts: int = option(8, "rollouts per held-out task", least=1)
    dataset_seed: int = option(42, "seed of the histories", least=0, most=MAX_SEED)


@dataclass
class HistoryOptions(WorldOptions):
    """Tasks of a room, and source of their histories."""

    room: ClassVar[str] = "darkroom"
    """Name in `tasks.in_context_rl.rooms.ROOMS`."""

    size: int = option(9, "rows and columns of the room", least=2, most=15)
    horizon: int = option(20, "steps of an episode", least=1, most=10_000)
    source: Literal["q_learning", "fading_oracle", "psrl", "search", "matching"] = option(
        "q_learning",
        "source of the histories: a learner, an optimal policy whose noise fades, or an agent that knows the rules and"
        " every possible task, but not which it is in",
    )
    q_step_size: float = option(1.0, "step size of Q-learning; 1 suits deterministic rooms", least=1e-9, most=1)
    q_discount: float = option(0.9, "discount of Q-learning", least=0, most=0.9999)
    q_initial: float = option(0.5, "initial Q; above 0 the learner prefers untried actions", least=0)
    noise_start: float | None = option(
        None, "share of random actions at the beginning; default: 0.1, of fading_oracle 1", least=0, most=1
    )
    noise_end: float = option(0.0, "share of random actions at the end", least=0, most=1)
    noise_share: float = option(1.0, "share of the history over which the noise changes", least=1e-9, most=1)


@dataclass
class BanditOptions(WorldOptions):
    """Bandits, and source of their histories."""

    n_arms: int = option(5, "arms", least=2, most=100)
    reward_sd: float = option(0.3, "standard deviation of an arm's rewards", least=1e-3, most=100)
    n_bandits: int = option(2000, "bandits, whose means are drawn by --split_seed", least=2)
    horizon: int = option(
        10, "pulls that share a point of the curve, an episode; nothing begins anew", least=1, most=10_000
    )
    source: Literal["ucb", "thompson", "gittins"] = option(
        "thompson", "rule by which the arms of the histories are pulled"
    )
    n_streams: int = option(1, "histories per training task", least=1)
    history_steps: int = option(500, "pulls of a history, complete episodes", least=1)
    n_val_tasks: int = option(100, "training tasks held out to choose the checkpoint", least=0)
    eval_streams: int = option(1, "histories per held-out task, for loss and accuracy", least=1)
    eval_rollouts: int = option(1, "rollouts per held-out task", least=1)


@dataclass
class HistoryModelOptions:
    """Sizes and windows of a `tasks.in_context_rl.model.HistoryModel`; its config has the same fields."""

    architecture: Literal["ad", "compressed_ad", "dpt"] = option(
        "ad",
        "predict the source's actions and forget what leaves the window (ad) or compress it (compressed_ad), or predict"
        " optimal actions, as ad does (dpt)",
    )
    window: int = option(100, "steps visible at once", least=1)
    keep: int = option(50, "steps that stay when the window is full", least=0)
    train_strides: str | None = option(
        None,
        "LEAST:MOST steps that leave at once in training, one number for each batch; default: --window less --keep",
    )
    train_windows: str | None = option(
        None, "LEAST:MOST steps visible at once in training, one number for each batch; default: --window"
    )
    n_latents: int = option(15, "vectors that older steps are folded into (compressed_ad)", least=1)
    gated: bool = option(True, "replace only a learned share of each latent (compressed_ad)")
    depth_weights: str | None = option(
        None,
        "depth:weight pairs, the depth of a step being the compressions before it: shares of the training loss (steps"
        " between two depths count as the deeper); default: 0:1,1:2,2:3,3:4 (compressed_ad) or 0:1",
    )
    hidden_size: int = option(64, "width of the residual stream", least=2)
    num_hidden_layers: int = option(4, "blocks of the decoder", least=1, most=1000)
    num_encoder_layers: int = option(2, "blocks of the compression encoder (compressed_ad)", least=1, most=1000)
    num_attention_heads: int = option(4, "attention heads; must divide hidden_size into an even head size", least=1)
    intermediate_size: int = option(168, "width inside the MLP", least=1)
    dropout: float = option(0.0, "dropout on what a block adds", least=0, most=0.99)
    init: Literal["normal", "truncated_normal", "xavier"] = option(
        "normal",
        "initial weights: normal, normal cut off at two standard deviations, or Glorot's uniform ones in linear layers",
    )
    init_scale: float = option(0.02, "standard deviation of the initial weights", least=0)
    act_temperature: float = option(1.0, "temperature of drawn actions; 0: always the likeliest", least=0)
