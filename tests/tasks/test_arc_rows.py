"""Grids and rows of the arc task: tensors against numpy and Python lists, batches against the rows they are made of."""

from itertools import chain, permutations, product

import datasets
import numpy as np
import pytest
import torch
from scipy import stats

from tasks.arc.data import FEATURES
from tasks.arc.grids import (
    BOS,
    EOS,
    N_COLOURS,
    N_DIHEDRAL,
    PAD,
    ROW,
    VOCABULARY_SIZE,
    Grids,
    apply_dihedral,
    colours_in_order,
    column_of,
    concatenate,
    read_grid,
    recolour,
    tokens,
)
from tasks.arc.model import ArcConfig
from tasks.arc.rows import EpisodeRows
from trainers import registry
from trainers.contract import IGNORE
from trainers.errors import UserError
from trainers.folders import dataset_folder

SMALL = {"pairs_per_task": 10, "n_val": 2, "n_test": 2, "max_side": 10}  # 6 training pairs of each of 14 tasks
BRIDGES = ["none", "concat_mlp", "cross_attention"]
VARIED = {"resample_context": True, "augment_dihedral": True, "augment_colours": True}
MODELS = [("encoder_decoder", "cross_attention"), ("decoder_only", "prompt")]
SPLITS = ["train", "validation", "unseen_tasks", "test"]


def random_grids(seed, shapes):
    rng = np.random.default_rng(seed)
    return [rng.integers(10, size=shape).astype(np.uint8) for shape in shapes]


def some_grids(seed, count, side):
    rng = np.random.default_rng([seed, side])
    return random_grids(seed, [*rng.integers(1, side + 1, size=(count - 2, 2)).tolist(), (1, side), (side, 1)])


def written(grid):
    """A grid's tokens, one after the other."""
    ids = []
    for number, line in enumerate(np.asarray(grid).tolist()):
        ids += [ROW] * (number > 0) + line
    return ids


def padded(sequences, pad=PAD):
    width = max(map(len, sequences))
    return [[*ids, *[pad] * (width - len(ids))] for ids in sequences]


def image(grid, which):
    """A grid by one of the eight symmetries, by numpy."""
    grid = np.flipud(grid) if which & 1 else grid
    grid = np.fliplr(grid) if which & 2 else grid
    return grid.T if which & 4 else grid


def equal(grids, others):
    return all(np.array_equal(one, other) for one, other in zip(grids, others, strict=True))


def pack(grids, side):
    """Grids, none larger than `side`, in one tensor."""
    cells = np.full((len(grids), side, side), PAD, dtype=np.uint8)
    for number, grid in enumerate(grids):
        cells[number, : grid.shape[0], : grid.shape[1]] = grid
    shapes = np.array([grid.shape for grid in grids], dtype=np.int64).reshape(-1, 2)
    return Grids(torch.from_numpy(cells), torch.from_numpy(shapes[:, 0]), torch.from_numpy(shapes[:, 1]))


def same_batch(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# --- tokens


def test_grids_of_every_shape_are_written_row_by_row_and_read_back():
    shapes = [*product(range(1, 31), (1, 2, 13, 30)), *product((1, 2, 13, 30), range(1, 31))]
    grids = random_grids(0, shapes)
    packed = pack(grids, 30)
    ids, length = tokens(packed), packed.length_B
    assert ids.dtype == torch.uint8
    assert ids.tolist() == padded([written(grid) for grid in grids])
    assert length.tolist() == [len(written(grid)) for grid in grids]
    answers, _ = concatenate([(ids, length), column_of(EOS, len(grids))])
    read = [read_grid(line) for line in answers.numpy()]
    assert equal(read, grids) and all(grid.dtype == np.uint8 for grid in read)
    assert equal(packed.list(), grids)


def test_packed_grids_have_pads_outside_and_can_be_chosen():
    grids = some_grids(1, 20, 7)
    packed = pack(grids, 9)
    assert packed.cells_BSS.shape == (20, 9, 9) and len(packed) == 20
    assert (packed.cells_BSS == PAD).sum() == 20 * 81 - sum(grid.size for grid in grids)
    chosen = packed[torch.tensor([3, 3, 19, 0])]
    assert equal(chosen.list(), [grids[3], grids[3], grids[19], grids[0]])
    assert tokens(chosen).tolist() == padded([written(grid) for grid in chosen.list()])


@pytest.mark.parametrize(
    "ids",
    [
        [],
        [EOS],
        [EOS, 1, EOS],
        [ROW, EOS],
        [ROW, ROW, EOS],
        [1, 2],  # without an end
        [1, PAD],
        [1, 2, ROW, 3, EOS],
        [1, ROW, 2, 3, EOS],
        [1, ROW, EOS],
        [ROW, 1, EOS],
        [1, ROW, ROW, 2, EOS],
        [1, PAD, EOS],
        [PAD, EOS],
        [1, BOS, EOS],
        [BOS, 1, EOS],
        [1, ROW, PAD, EOS],
        [1, ROW, BOS, EOS],
    ],
)
def test_tokens_that_are_no_grid_are_not_read(ids):
    assert read_grid(np.array(ids, dtype=np.int64)) is None
    assert read_grid(np.array(ids, dtype=np.uint8)) is None


@pytest.mark.parametrize(
    ("ids", "grid"),
    [
        ([5, EOS], [[5]]),
        ([0, ROW, 9, EOS], [[0], [9]]),
        ([1, 2, ROW, 3, 4, EOS], [[1, 2], [3, 4]]),
        ([1, 2, EOS, PAD, PAD], [[1, 2]]),
        ([1, EOS, BOS, 2, ROW, EOS, EOS], [[1]]),  # what is behind the end does not count
    ],
)
def test_tokens_up_to_the_end_are_a_grid(ids, grid):
    np.testing.assert_array_equal(read_grid(np.array(ids)), np.array(grid, dtype=np.uint8))


def test_joined_pieces_are_pythons_lists_one_behind_the_other():
    rng = np.random.default_rng(0)
    for n_pieces in (1, 2, 5):
        pieces = [
            [rng.integers(14, size=rng.integers(9)).tolist() for _ in range(7)] + [[1, 2]] for _ in range(n_pieces)
        ]
        given = [
            (torch.tensor(padded(piece), dtype=torch.uint8), torch.tensor([len(ids) for ids in piece]))
            for piece in pieces
        ]
        expected = [[*chain(*(piece[row] for piece in pieces))] for row in range(8)]
        ids, length = concatenate(given)
        assert ids.dtype == torch.uint8
        assert ids.tolist() == padded(expected) and length.tolist() == [len(line) for line in expected]


def test_what_stands_behind_a_piece_is_dropped_whatever_it_is():
    ids, length = concatenate(
        [(torch.tensor([[1, 7, 7], [1, 2, 3]], dtype=torch.uint8), torch.tensor([1, 3])), column_of(EOS, 2)]
    )
    assert ids.tolist() == [[1, EOS, PAD, PAD], [1, 2, 3, EOS]] and length.tolist() == [2, 4]


# --- symmetries and colours


@pytest.mark.parametrize("which", range(N_DIHEDRAL))
@pytest.mark.parametrize("side", [1, 5, 30])
def test_turned_grids_are_numpys(which, side):
    grids = some_grids(2, 12, side)
    found = apply_dihedral(pack(grids, side), torch.full((12,), which))
    expected = [image(grid, which) for grid in grids]
    assert equal(found.list(), expected)
    assert found.height_B.tolist() == [grid.shape[which >= 4] for grid in grids]
    assert torch.equal(found.cells_BSS, pack(expected, side).cells_BSS)


def test_every_grid_of_a_batch_is_turned_on_its_own():
    grids = some_grids(3, 40, 9)
    which = np.random.default_rng(0).integers(8, size=40)
    found = apply_dihedral(pack(grids, 12), torch.from_numpy(which))
    assert equal(found.list(), [image(grid, k) for grid, k in zip(grids, which.tolist(), strict=True)])


def test_the_eight_symmetries_are_a_group():
    grids = random_grids(4, [(2, 3), (3, 2), (4, 4), (1, 5), (7, 6)])
    packed = pack(grids, 7)
    images = {k: apply_dihedral(packed, torch.full((5,), k)) for k in range(8)}
    cells = {k: found.cells_BSS.flatten().tolist() for k, found in images.items()}
    assert len({tuple(found) for found in cells.values()}) == 8 and equal(images[0].list(), grids)
    table = np.zeros((8, 8), dtype=int)
    for first, second in product(range(8), repeat=2):
        both = apply_dihedral(images[first], torch.full((5,), second))
        (table[first, second],) = [k for k in range(8) if cells[k] == both.cells_BSS.flatten().tolist()]
        assert torch.equal(both.height_B, images[table[first, second]].height_B)
        assert torch.equal(both.width_B, images[table[first, second]].width_B)
    for line in (*table, *table.T):
        assert sorted(line.tolist()) == list(range(8))
    assert (table[0] == range(8)).all() and (table != table.T).any()


def test_exchanged_colours_are_numpys_lookup():
    grids = some_grids(5, 30, 8)
    rng = np.random.default_rng(0)
    lookup = np.stack([np.r_[rng.permutation(N_COLOURS), range(N_COLOURS, VOCABULARY_SIZE)] for _ in grids])
    packed = pack(grids, 11)
    found = recolour(packed, torch.from_numpy(lookup.astype(np.uint8)))
    assert equal(found.list(), [table[grid] for table, grid in zip(lookup, grids, strict=True)])
    assert torch.equal(found.cells_BSS == PAD, packed.cells_BSS == PAD) and found.cells_BSS.dtype == torch.uint8
    back = recolour(found, torch.from_numpy(lookup.argsort(axis=1).astype(np.uint8)))
    assert equal(back.list(), grids)


def test_colours_in_order_of_random_numbers_are_permutations_that_keep_black_and_the_special_tokens():
    table = colours_in_order(np.random.default_rng(0).random((3000, 9))).numpy()
    assert table.shape == (3000, VOCABULARY_SIZE) and table.dtype == np.uint8
    assert (np.sort(table, axis=1) == range(VOCABULARY_SIZE)).all()
    kept = [0, *range(N_COLOURS, VOCABULARY_SIZE)]
    assert (table[:, kept] == kept).all()
    for colour in range(1, N_COLOURS):
        assert stats.chisquare(np.bincount(table[:, colour], minlength=10)[1:10]).pvalue > 1e-4


# --- batches


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    task = registry.load("arc")
    return dataset_folder.build_or_load(task, task.options(**SMALL), tmp_path_factory.mktemp("arc"))


@pytest.fixture(scope="module")
def make(data):
    """Rows of a split for a model and options."""

    def rows(split="train", architecture="encoder_decoder", bridge="cross_attention", table=None, **options):
        config = ArcConfig(architecture=architecture, bridge=bridge)
        table = data.splits[split] if table is None else table
        return EpisodeRows(split, table, config, {**data.metadata["options"], **options})

    return rows


@pytest.fixture(scope="module")
def stored(data):
    """Split -> rows as (task, query, demonstrations), pairs of arrays."""

    def grid(lines):
        return np.array(lines, dtype=np.uint8)

    return {
        name: [
            (
                row["task"],
                (grid(row["input"]), grid(row["output"])),
                [(grid(a), grid(b)) for a, b in zip(row["context_inputs"], row["context_outputs"], strict=True)],
            )
            for row in split.to_list()
        ]
        for name, split in data.splits.items()
    }


def shown(context):
    """The tokens of each demonstration."""
    return [[*written(before), BOS, *written(after), EOS] for before, after in context]


def episodes_of(rows, chosen):
    """(query, demonstrations) of rows as pairs of arrays."""
    before, after, shown_before, shown_after = (part.list() for part in rows.episodes(chosen))
    context = list(zip(shown_before, shown_after, strict=True))
    n = len(context) // len(chosen)
    return [(pair, context[place * n : (place + 1) * n]) for place, pair in enumerate(zip(before, after, strict=True))]


def key(pair):
    return tuple((grid.shape, grid.tobytes()) for grid in pair)


def flat(query, context):
    return [*query, *(grid for pair in context for grid in pair)]


@pytest.mark.parametrize("split", SPLITS)
def test_rows_have_the_grids_of_the_dataset(split, make, stored):
    rows = make(split)
    assert len(rows) == len(stored[split]) and rows.n_context == 2
    assert rows.tasks.tolist() == [name for name, _, _ in stored[split]]
    found = episodes_of(rows, list(range(len(rows))))
    for (query, context), (_, true_query, true_context) in zip(found, stored[split], strict=True):
        assert len(context) == 2 and equal(flat(query, context), flat(true_query, true_context))
    assert rows.length_N.tolist() == [len(written(a)) + len(written(b)) for _, (a, b), _ in stored[split]]


def test_the_longest_answer_is_the_largest_grid_and_its_end(make):
    assert make().longest_answer == len(written(np.zeros((10, 10)))) + 1
    assert make(max_side=30).longest_answer == len(written(np.zeros((30, 30)))) + 1


@pytest.mark.parametrize("bridge", BRIDGES)
@pytest.mark.parametrize("split", ["train", "unseen_tasks"])
def test_input_labels_and_context_of_an_encoder_decoder(bridge, split, make, stored):
    rows, chosen = make(split, bridge=bridge), [15, 3, 3, 11, 0]
    batch, prompts = rows.__getitems__(chosen), rows.prompts(chosen)
    episodes = [stored[split][row][1:] for row in chosen]
    assert batch["input_ids"].tolist() == padded([written(before) for (before, _), _ in episodes])
    assert batch["labels"].tolist() == padded([[*written(after), EOS] for (_, after), _ in episodes], IGNORE)
    names = {"input_ids", "labels"}
    if bridge != "none":
        names.add("context_ids")
        pieces = padded([ids for _, context in episodes for ids in shown(context)])
        assert batch["context_ids"].tolist() == [pieces[2 * place : 2 * place + 2] for place in range(5)]
    assert set(batch) == names
    assert set(prompts) == names - {"labels"} and all(torch.equal(batch[name], ids) for name, ids in prompts.items())
    assert batch["input_ids"].dtype == torch.uint8 and batch["labels"].dtype == torch.int64
    for line, ((_, after), _) in zip(batch["labels"].numpy(), episodes, strict=True):
        np.testing.assert_array_equal(read_grid(np.where(line == IGNORE, PAD, line)), after)


@pytest.mark.parametrize("bridge", ["none", "prompt"])
@pytest.mark.parametrize("split", ["train", "unseen_tasks"])
def test_labels_of_a_decoder_are_the_next_tokens_of_the_output_alone(bridge, split, make, stored):
    rows, chosen = make(split, "decoder_only", bridge), [5, 15, 2, 9]
    batch, prompts = rows.__getitems__(chosen), rows.prompts(chosen)
    episodes = [stored[split][row][1:] for row in chosen]
    fronts = [
        [*(chain(*shown(context)) if bridge == "prompt" else ()), *written(before)] for (before, _), context in episodes
    ]
    answers = [[*written(after), EOS] for (_, after), _ in episodes]
    whole = padded([[*front, BOS, *answer] for front, answer in zip(fronts, answers, strict=True)])
    assert set(batch) == {"input_ids", "labels"} and set(prompts) == {"input_ids"}
    assert batch["input_ids"].tolist() == [ids[:-1] for ids in whole]
    silent = [[IGNORE] * len(front) + answer for front, answer in zip(fronts, answers, strict=True)]
    assert batch["labels"].tolist() == padded(silent, IGNORE)
    assert prompts["input_ids"].tolist() == padded(fronts)
    for ids, labels in zip(whole, batch["labels"].tolist(), strict=True):
        assert all(label in (IGNORE, following) for label, following in zip(labels, ids[1:], strict=True))


def test_rows_of_a_part_of_a_table_are_those_of_the_whole(data, make):
    chosen = [40, 41, 42, 7, 8, 60]
    part = datasets.concatenate_datasets([data.splits["train"].select([i]) for i in chosen])
    assert same_batch(make(table=part).__getitems__(list(range(6))), make().__getitems__(chosen))


# --- what is random


@pytest.mark.parametrize(("architecture", "bridge"), MODELS)
def test_what_is_drawn_follows_from_seed_epoch_and_row(architecture, bridge, make):
    rows, again = (make("train", architecture, bridge, **VARIED) for _ in range(2))
    chosen = [60, 3, 41, 7, 7, 30]
    first = rows.__getitems__(chosen)
    rows.__getitems__([1, 2])
    torch.manual_seed(1)
    assert same_batch(rows.__getitems__(chosen), first) and same_batch(again.__getitems__(chosen), first)
    assert not same_batch(make("train", architecture, bridge, **VARIED, dataset_seed=1).__getitems__(chosen), first)
    usual, other = episodes_of(rows, [*chosen[:5], 31]), episodes_of(rows, [44, *chosen[4::-1]])
    assert all(equal(flat(*one), flat(*two)) for one, two in zip(usual[:5], other[:0:-1], strict=True))
    rows.set_epoch(1)
    later = episodes_of(rows, [*chosen[:5], 31])
    assert not any(equal(flat(*one), flat(*two)) for one, two in zip(usual, later, strict=True))
    again.set_epoch(1)
    assert same_batch(rows.__getitems__(chosen), again.__getitems__(chosen))


@pytest.mark.parametrize("split", ["validation", "unseen_tasks", "test"])
@pytest.mark.parametrize(("architecture", "bridge"), MODELS)
def test_rows_that_are_evaluated_are_never_varied(split, architecture, bridge, make):
    plain, varied = make(split, architecture, bridge), make(split, architecture, bridge, **VARIED)
    chosen = list(range(len(plain)))
    assert same_batch(varied.__getitems__(chosen), plain.__getitems__(chosen))
    assert same_batch(varied.prompts(chosen), plain.prompts(chosen))


def test_a_drawn_context_is_of_other_rows_of_the_task_and_all_of_them_occur(make, stored):
    rows = make(resample_context=True)
    number = {(name, key(query)): row for row, (name, query, _) in enumerate(stored["train"])}
    assert len(number) == len(rows) == 84
    rng, partners = np.random.default_rng(0), {row: [] for row in range(84)}
    for epoch in range(40):
        rows.set_epoch(epoch)
        chosen = rng.permutation(84)[:60].tolist()
        for row, (query, context) in zip(chosen, episodes_of(rows, chosen), strict=True):
            task = stored["train"][row][0]
            assert number[task, key(query)] == row
            found = [number[task, key(pair)] for pair in context]  # a row of the train split, of the same task
            assert len({row, *found}) == 3
            partners[row] += found
    for row, found in partners.items():
        first = row - row % 6
        assert {*found} == {*range(first, first + 6)} - {row}


@pytest.mark.parametrize("n_context", [1, 3, 5])
def test_every_choice_of_other_rows_is_equally_likely(n_context, make, data):
    table = data.splits["train"]
    wide = {name: [row[:1] * n_context for row in table[name]] for name in ("context_inputs", "context_outputs")}
    columns = {name: table[name] for name in ("task", "pair", "input", "output")}
    rows = make(table=datasets.Dataset.from_dict({**columns, **wide}, features=FEATURES), resample_context=True)
    assert rows.n_context == n_context
    epochs = []
    for epoch in range(2000):
        rows.set_epoch(epoch)
        epochs.append(rows.draw_context(np.array([8])).numpy())
    drawn = np.array(epochs)
    others = [6, 7, 9, 10, 11]
    for column in drawn.T:
        assert stats.chisquare([(column == other).sum() for other in others]).pvalue > 1e-4
    assert all(len(set(line)) == n_context for line in drawn.tolist()) and set(drawn.ravel().tolist()) == {*others}


def test_a_context_is_drawn_for_tasks_of_any_number_of_rows(make, data):
    """3, 6 and 4 rows of three tasks."""
    part = [0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    rows = make(table=data.splits["train"].select(part), resample_context=True)
    blocks = [range(3), range(3, 9), range(9, 13)]
    chosen, found = np.arange(13), {row: set() for row in range(13)}
    for epoch in range(60):
        rows.set_epoch(epoch)
        for row, drawn in enumerate(rows.draw_context(chosen).view(13, 2).tolist()):
            assert len({row, *drawn}) == 3
            found[row] |= {*drawn}
    assert found == {row: {*block} - {row} for block in blocks for row in block}


def test_an_episode_is_turned_as_one(make, stored):
    rows, kinds = make(augment_dihedral=True), []
    for batch in np.random.default_rng(0).permutation(84).reshape(7, 12).tolist():
        for row, episode in zip(batch, episodes_of(rows, batch), strict=True):
            originals = flat(*stored["train"][row][1:])
            fits = [k for k in range(8) if equal(flat(*episode), [image(grid, k) for grid in originals])]
            assert fits
            kinds += fits if len(fits) == 1 else []
    assert {*kinds} == {*range(8)} and stats.chisquare(np.bincount(kinds)).pvalue > 1e-4


def test_a_turned_episode_still_follows_its_rule(make):
    """6d0aefbc appends the mirror image: turned back, every pair of an episode does, by the same turn."""

    def mirrors(pair):
        return np.array_equal(np.hstack([pair[0], pair[0][:, ::-1]]), pair[1])

    rows = make(augment_dihedral=True, resample_context=True)
    chosen = np.nonzero(rows.tasks == "6d0aefbc")[0].tolist()
    n_turned = 0
    for epoch in range(6):
        rows.set_epoch(epoch)
        for query, context in episodes_of(rows, chosen):
            pairs = [query, *context]
            assert any(all(mirrors([image(grid, k) for grid in pair]) for pair in pairs) for k in range(8))
            n_turned += not mirrors(query)
    assert len(chosen) == 6 and n_turned > 10


def test_an_episodes_colours_are_exchanged_as_one_and_black_stays(make, stored):
    rows, tables = make(augment_colours=True), set()
    for batch in np.random.default_rng(0).permutation(84).reshape(7, 12).tolist():
        for row, episode in zip(batch, episodes_of(rows, batch), strict=True):
            originals, new = flat(*stored["train"][row][1:]), {}
            for grid, found in zip(originals, flat(*episode), strict=True):
                assert found.shape == grid.shape
                for colour, other in zip(grid.ravel().tolist(), found.ravel().tolist(), strict=True):
                    assert new.setdefault(colour, other) == other
            assert len({*new.values()}) == len(new) and new.get(0, 0) == 0
            assert all(1 <= other <= 9 for colour, other in new.items() if colour)
            tables.add(tuple(sorted(new.items())))
    assert len(tables) > 60


def test_turns_colours_and_draws_go_together(make, stored):
    """Turned back and up to the names of colours, an episode is its row and two other rows of the task."""
    rows, chosen = make(**VARIED), np.random.default_rng(1).permutation(84)[:24].tolist()
    for row, episode in zip(chosen, episodes_of(rows, chosen), strict=True):
        task, original, _ = stored["train"][row]
        others = [query for name, query, _ in stored["train"] if name == task and query is not original]
        possible = {up_to_colours(flat(original, drawn)) for drawn in permutations(others, 2)}
        assert possible & {up_to_colours([image(grid, k) for grid in flat(*episode)]) for k in range(8)}


def up_to_colours(grids):
    """Shapes and cells, the colours numbered by when they appear; black is 0."""
    cells = np.concatenate([[0], *map(np.ravel, grids)])
    colours, first = np.unique(cells, return_index=True)
    number = np.zeros(N_COLOURS, dtype=np.uint8)
    number[colours[first.argsort()]] = range(len(colours))
    return tuple(grid.shape for grid in grids), number[cells].tobytes()


# --- damaged datasets


def damaged(data, split="train", **columns):
    """A table with other columns; None: without the column."""
    table = data.splits[split]
    kept = {name: columns.get(name, table[name][:]) for name in table.column_names}
    return datasets.Dataset.from_dict(
        {name: column for name, column in kept.items() if column is not None},
        features=datasets.Features({name: FEATURES[name] for name in FEATURES if kept[name] is not None}),
    )


def replaced(data, name, grid):
    """The column with another grid in its row 7."""
    column = data.splits["train"][name][:]
    column[7] = [column[7][0], grid] if name.startswith("context") else grid
    return column


GRID_COLUMNS = ["input", "output", "context_inputs", "context_outputs"]


@pytest.mark.parametrize("name", GRID_COLUMNS)
@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ([[1, 2], [3]], "has a grid with uneven rows or a colour above 9"),
        ([[1], [2, 3], [4]], "has a grid with uneven rows or a colour above 9"),
        ([[1, 12]], "has a grid with uneven rows or a colour above 9"),
        ([[10]], "has a grid with uneven rows or a colour above 9"),
        ([[255]], "has a grid with uneven rows or a colour above 9"),
        ([], "has a side that is not 1 to 30"),
        ([[]], "has a side that is not 1 to 30"),
        ([[1], []], "has a side that is not 1 to 30"),
        ([[1] * 31], "has a side that is not 1 to 30"),
        ([[1]] * 31, "has a side that is not 1 to 30"),
    ],
)
def test_damaged_grids_are_refused(name, grid, words, data, make):
    with pytest.raises(UserError, match=f"column {name} {words}; build the dataset again"):
        make(table=damaged(data, **{name: replaced(data, name, grid)}))


@pytest.mark.parametrize("name", ["task", *GRID_COLUMNS])
def test_missing_columns_are_refused(name, data, make):
    with pytest.raises(UserError, match=f"split train has no column {name} as this task writes it; build the dataset"):
        make(table=damaged(data, **{name: None}))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"context_inputs": [[[[1]]]] + [[[[1]], [[2]]]] * 83}, "equally many demonstrations"),
        ({"context_inputs": [[[[1]]]] * 84}, "more demonstration inputs than outputs, or fewer"),
        ({"context_inputs": [[]] * 84, "context_outputs": [[]] * 84}, "equally many demonstrations"),
        ({"input": [[[1, None]]] + [[[1, 2]]] * 83}, "missing values"),
        ({"task": [None] * 84}, "without a task"),
    ],
)
def test_tables_with_holes_are_refused(columns, words, data, make):
    with pytest.raises(UserError, match=words):
        make(table=damaged(data, **columns))


def test_columns_of_other_types_are_refused(data, make):
    table = data.splits["train"].remove_columns("input").add_column("input", ["1/2"] * 84)
    with pytest.raises(UserError, match="no column input as this task writes it"):
        make(table=table)


def test_a_task_with_too_few_rows_to_draw_from_is_refused(data, make):
    with pytest.raises(UserError, match="draws 2 other rows of a task, and one has 2 rows in all"):
        make(table=data.splits["train"].select([0, 1, 6, 7, 8, 9]), resample_context=True)


def test_splits_without_rows_are_refused(data, make):
    for split in SPLITS:
        with pytest.raises(UserError, match=f"split {split} has no rows; build the dataset again"):
            make(split, table=data.splits[split].select([]))
    with pytest.raises(UserError, match="split train has no rows"):
        make(table=damaged(data, **{name: [] for name in FEATURES}))


def test_tasks_whose_rows_are_not_together_are_refused(data, make):
    n = len(data.splits["train"])
    make(table=data.splits["train"].select(range(n - 1, -1, -1)))  # in any order, as long as they are together
    for order in ([*range(1, n), 0], [0, 6, *range(1, 6), *range(7, n)], np.random.default_rng(0).permutation(n)):
        with pytest.raises(UserError, match="split train has the rows of a task in several places; build"):
            make(table=data.splits["train"].select(order))
