"""Generation against the simplest kind of decoding, and the second attempt."""

import numpy as np
import pytest
import torch

from tasks.arc.decoding import encode, generate, second_attempt
from tasks.arc.grids import BOS, EOS, N_COLOURS, PAD, ROW, read_grid
from tasks.arc.model import ArcConfig
from tests.helpers import gap

from .grid_helpers import written
from .model_helpers import (
    EQUIVARIANT,
    LADDER,
    answer_logits,
    batch_of,
    build,
    exchanged,
    prompts_of,
    random_episodes,
    random_grid,
    random_table,
    run,
)

LONGEST = 10  # generated tokens


def allowed(logits):
    """Logits of what an answer may have."""
    return logits.index_fill(-1, torch.tensor([PAD, BOS]), -torch.inf)


def one_by_one(model, episode):
    """Greedy decoding of the simplest kind: one row, no cache, everything so far read again for each token."""
    answer = []
    while len(answer) < LONGEST and EOS not in answer:
        batch = batch_of(model.config, [episode], [[*answer, 0]])  # what stands last is not looked at
        answer.append(int(allowed(run(model, batch).logits[0, -1]).argmax()))
    return answer


def cut(ids):
    """The tokens up to EOS."""
    ids = ids.tolist()
    return ids[: ids.index(EOS) + 1] if EOS in ids else ids


def generated(model, episodes):
    prompts = encode(model, **prompts_of(model.config, episodes))
    return prompts, generate(model, prompts, LONGEST)


def is_varied(found):
    """Answers of several lengths, some with rows, without ties."""
    lengths = {len(cut(ids)) for ids in found.ids_BT}
    return len(lengths) > 2 and (found.ids_BT == ROW).sum() > 2 and found.margin_BT.min() > 1e-3


@pytest.fixture(scope="module", params=LADDER)
def decoded(request):
    """A model, episodes with prompts of different lengths, the encoded prompts, and what was generated at once."""
    episodes = random_episodes(6, seed=1)
    assert len({len(written(before)) for before, *_ in episodes}) > 2
    for seed in range(200):
        model = build(request.param, seed, num_hidden_layers=2)
        with torch.no_grad():
            model.head.weight[[ROW, EOS]] *= 2  # random models rarely end
        prompts, found = generated(model, episodes)
        if is_varied(found):
            return model, episodes, prompts, found
    raise AssertionError("no random model gives varied answers")


def test_generation_is_the_greedy_choice_without_any_cache(decoded):
    model, episodes, _, found = decoded
    assert [cut(ids) for ids in found.ids_BT] == [one_by_one(model, episode) for episode in episodes]


def test_generation_is_the_best_choice_under_teacher_forcing(decoded):
    model, episodes, _, found = decoded
    answers = [cut(ids) for ids in found.ids_BT]
    for row, logits in enumerate(answer_logits(model, batch_of(model.config, episodes, answers))):
        (first, second), (best, runner_up) = (part.unbind(1) for part in allowed(logits).topk(2, dim=1))
        n = len(answers[row])
        assert best.tolist() == answers[row] and runner_up.tolist() == found.runner_up_BT[row, :n].tolist()
        assert gap(found.margin_BT[row, :n], first - second) < 1e-4
        assert (found.ids_BT[row, n:] == PAD).all() and found.margin_BT[row, n:].isinf().all()


def test_pads_and_bos_are_never_generated_before_eos(decoded):
    *_, found = decoded
    assert not {token for ids in found.ids_BT for token in cut(ids)} & {PAD, BOS}


def test_prompts_can_be_decoded_again(decoded):
    model, _, prompts, found = decoded
    assert torch.equal(generate(model, prompts, LONGEST).ids_BT, found.ids_BT)


def test_fewer_tokens_are_the_beginning_of_more(decoded):
    model, _, prompts, found = decoded
    assert torch.equal(generate(model, prompts, 3).ids_BT, found.ids_BT[:, :3])


def test_forced_tokens_are_kept_and_the_others_are_the_models_choice(decoded):
    model, episodes, prompts, _ = decoded
    forced = torch.tensor([[4, -1, ROW, -1], [-1, EOS, -1, -1], [-1, -1, -1, 9]]).repeat(2, 1)
    found = generate(model, prompts, LONGEST, forced)
    answers = [cut(ids) for ids in found.ids_BT]
    forcing = answer_logits(model, batch_of(model.config, episodes, answers))
    for answer, asked, logits in zip(answers, forced.tolist(), forcing, strict=True):
        asked = [*asked, *[-1] * LONGEST]
        best = allowed(logits).argmax(dim=1).tolist()
        assert answer == [best[i] if asked[i] < 0 else asked[i] for i in range(len(answer))]
    assert all(EOS in answers[row][:2] for row in (1, 4))


def test_a_known_layout_is_kept_and_the_colours_are_the_models_choice(decoded):
    model, episodes, prompts, _ = decoded
    layouts = [[0, 0, ROW, 0, 0, EOS], [0, ROW, 0, EOS], [0, 0, 0, EOS]] * 2
    layout = torch.tensor([[*ids, *[PAD] * (6 - len(ids))] for ids in layouts])
    answers = [cut(ids) for ids in generate(model, prompts, LONGEST, layout_BT=layout).ids_BT]
    forcing = answer_logits(model, batch_of(model.config, episodes, answers))
    for answer, asked, logits in zip(answers, layouts, forcing, strict=True):
        best = logits[:, :N_COLOURS].argmax(dim=1).tolist()
        assert answer == [ids if ids in (ROW, EOS) else best[i] for i, ids in enumerate(asked)]


def test_the_second_attempt_differs_first_at_the_least_certain_token(decoded):
    model, _, prompts, first = decoded
    second = second_attempt(model, prompts, LONGEST, first)
    for row, margins in enumerate(first.margin_BT):
        doubt = int(margins.argmin())
        assert second[row, :doubt].tolist() == first.ids_BT[row, :doubt].tolist()
        assert second[row, doubt] == first.runner_up_BT[row, doubt] != first.ids_BT[row, doubt]
        assert doubt < len(cut(first.ids_BT[row]))


def test_the_second_attempt_goes_on_greedily(decoded):
    model, episodes, prompts, first = decoded
    answers = [cut(ids) for ids in second_attempt(model, prompts, LONGEST, first)]
    forcing = answer_logits(model, batch_of(model.config, episodes, answers))
    for answer, margins, logits in zip(answers, first.margin_BT, forcing, strict=True):
        after = int(margins.argmin()) + 1
        assert allowed(logits).argmax(dim=1).tolist()[after:] == answer[after:]


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_exchanging_colours_exchanges_what_is_generated(name):
    table, n_compared = random_table(5), 0
    inverse = np.argsort(table).tolist()
    for seed in range(5):
        model, asked = build(name, seed), prompts_of(ArcConfig(**LADDER[name]), random_episodes(6, seed=1))
        found, other = (
            generate(model, encode(model, **part), LONGEST).ids_BT for part in (asked, exchanged(asked, table))
        )
        parts = torch.cat([part.flatten(1) for part in asked.values()], dim=1).tolist()
        for seen, ids, expected in zip(
            parts, found.tolist(), exchanged({"": other}, inverse)[""].tolist(), strict=True
        ):
            if not set(ids) & set(range(1, N_COLOURS)) - set(seen):  # one of several equally likely ones
                assert ids == expected
                n_compared += 1
    assert n_compared > 10


def test_what_is_solved_in_training_is_generated_exactly():
    rng = np.random.default_rng(0)
    grids = [random_grid(rng, [0, 1, 2, 3]) for _ in range(16)]
    episodes = [(grid, grid[::-1], [(shown, shown[::-1])]) for grid, shown in zip(grids[:8], grids[8:], strict=True)]
    model = build("cross_attention", hidden_size=32, intermediate_size=64, init_scale=0.1).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    batch = batch_of(model.config, episodes)
    for _ in range(300):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss < 0.01:
            break
    model.eval()
    found = generate(model, encode(model, **prompts_of(model.config, episodes)), 25).ids_BT
    forced = [allowed(logits).argmax(dim=1).tolist() for logits in answer_logits(model, batch)]
    assert [cut(ids) for ids in found] == forced == [[*written(after), EOS] for _, after, _ in episodes]
    for ids, (_, after, _) in zip(found.numpy(), episodes, strict=True):
        np.testing.assert_array_equal(read_grid(ids), after)


@pytest.mark.parametrize("name", LADDER)
def test_log_likelihoods_are_those_of_the_answer_read_in_one_go(name):
    model, episodes = build(name, seed=3), random_episodes(4, seed=1)
    _, found = generated(model, episodes)
    answers = [cut(ids) for ids in found.ids_BT]
    logits = answer_logits(model, batch_of(model.config, episodes, answers))
    for row, (answer, scores) in enumerate(zip(answers, logits, strict=True)):
        expected = allowed(scores).log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0]
        assert gap(found.log_likelihood_BT[row, : len(answer)], expected) < 1e-4
        assert not found.log_likelihood_BT[row, len(answer) :].any()
