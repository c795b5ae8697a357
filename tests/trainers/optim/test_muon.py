"""Muon as a Trainer makes it: the same steps as by an optimiser that is put together by hand."""

import copy

import torch
from transformers import Trainer, TrainingArguments, get_scheduler

from tokenization.characters import BOS_ID, EOS_ID, PAD_ID
from trainers.models.decoder import DecoderOptions, build_decoder
from trainers.optim.muon import MuonFactory, MuonWithRest

RATE, DECAY = 0.01, 0.1


def by_hand(model):
    """Muon on the hidden matrices, Adam on the rest, without decay on norms and biases."""
    named = dict(model.named_parameters())
    hidden = [p for name, p in named.items() if "_proj.weight" in name]
    outer = [named["model.embed_tokens.weight"], named["lm_head.weight"]]
    others = [p for name, p in named.items() if "norm" in name or name.endswith("bias")]
    return MuonWithRest(
        torch.optim.Muon(hidden, lr=RATE, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(
            [{"params": outer, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}], lr=RATE, fused=True
        ),
    )


def decoder():
    torch.manual_seed(0)
    sizes = DecoderOptions(hidden_size=16, num_hidden_layers=2, intermediate_size=32, num_attention_heads=2)
    return build_decoder(sizes, 44, 32, {"pad_token_id": PAD_ID, "bos_token_id": BOS_ID, "eos_token_id": EOS_ID})


def train(tmp_path, model, optimizer=None):
    """Six steps, by a given optimiser or by the factory; return the losses."""
    torch.manual_seed(1)
    rows = [{"input_ids": ids, "labels": ids} for ids in torch.randint(3, 44, (32, 12))]
    rates = {"learning_rate": RATE, "weight_decay": DECAY}
    quiet = {"logging_steps": 1, "save_strategy": "no", "disable_tqdm": True, "dataloader_pin_memory": False}
    args = TrainingArguments(str(tmp_path), max_steps=6, use_cpu=True, **rates, **quiet)
    trainer = Trainer(model, args, train_dataset=rows, optimizers=(optimizer, None))
    if optimizer is None:
        trainer.optimizer_cls_and_kwargs = (MuonFactory, {"trainer": trainer})
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_the_factorys_steps_are_those_of_an_optimiser_made_by_hand(tmp_path):
    model = decoder()
    twin = copy.deepcopy(model)
    losses = train(tmp_path, model)
    expected = train(tmp_path, twin, by_hand(twin))
    assert len(losses) == 6 and losses == expected
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def test_a_polynomial_schedule_finds_the_rate_it_starts_from():
    optimizer = by_hand(decoder())
    schedule = get_scheduler("polynomial", optimizer, 0, 10, {"power": 1.0, "lr_end": 0.0})
    optimizer.step()  # without gradients: PyTorch wants it before the schedule
    for _ in range(5):
        schedule.step()
    assert {round(group["lr"], 9) for group in optimizer.param_groups} == {RATE / 2}
