"""Is the map used? Move a city in the model's mind, and see whether its answers follow (`world-models probe --edit`).

The state of one token, the last digit of a city's number or one behind it, is edited at the output of one block as if
the city lay where another one lies, 1,000 to 5,000 km away. What is fitted is fitted on other cities; block and token
are chosen on cities of their own. The last block is left out: no later token reads what it writes.

EXPECTED, written before any edited answer of a trained model was seen (the map was known to be at the last digit of
the id, from block 4 of 6 on): swapping the state of that token for another city's at block 4 moves the answers by 90 %
or more, at blocks 1 to 3 by less, since the digits before it can still be read, at block 5 by half at most, since what
follows has read the city in block 5 already, and at the last block by exactly nothing. The decoder direction (pseudo-
inverse of the probe) at block 4 moves them by 20 to 50 %: what a probe reads best need not be what the model writes.
The encoder direction moves them by 80 % or more; a random one by at most 5 %. Halfway, the way straight through the
sphere ends as near as the way along it for the decoder (within 100 km) and farther off for the encoder. The second
city of a prompt can be moved like the first, by somewhat less.

The token was the last digit then. Since a model was found that has its map behind it, the token is looked for too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import numpy as np

from geo.atlantis import is_invented
from geo.sphere import unit_vectors
from tasks.geography.views.edit_asked import BEHIND, Asked, Followed, Mind, Role, Site
from tasks.geography.views.edit_figure import draw_blocks
from tasks.geography.views.edit_measures import angles_km
from tasks.geography.views.edit_states import KINDS, Fitted, along_sphere, edited_states, fit_site
from tasks.geography.views.resampling import bootstrap_median
from tasks.geography.world import stored_cities
from tokenization.characters import read_vocabulary
from trainers.common.tables import format_table
from trainers.errors import UserError
from trainers.options import MAX_SEED, option
from trainers.probes.views import Inspected, View, ViewResult

NEAREST_KM, FARTHEST_KM = 1_000.0, 5_000.0
"""Distances of targets."""
MOST_FITTED, CHOSEN_ON = 3_000, 20
"""Cities that are fitted at most, and those on which block and token are chosen at most."""
_SCANNED = ("swap", "probe", "random")
"""Edits that are tried at every block of the chosen token, beside the encoder's."""
_STEPS = (0.25, 0.5, 0.75)

Row = dict[str, Any]


@dataclass
class EditOptions:
    """Which cities are moved."""

    n_moved: int = option(200, "cities that are moved, or as many as are left", least=2)
    n_partners: int = option(20, "cities to which the distance of each is asked", least=3)
    edit_seed: int = option(42, "seed of the cities, their targets and their partners", least=0, most=MAX_SEED)


@dataclass(frozen=True)
class Drawn:
    """Cities to fit on, and sets of cities to move: own (N,), target (N,), partner (N, P); rows of the table."""

    fit: np.ndarray
    choice: tuple[np.ndarray, np.ndarray, np.ndarray]
    moved: tuple[np.ndarray, np.ndarray, np.ndarray]


class EditView(View):
    """Edits the state of one token so that a city is somewhere else."""

    options = EditOptions
    summary = "move cities in the model's mind, and see whether its answers follow (is the map used?)"

    def look(self, inspected: Inspected) -> ViewResult:
        """Move the first city of a prompt, then the second: site by site on some cities, at the best on others."""
        n_blocks = int(inspected.model.config.num_hidden_layers)  # pyright: ignore[reportArgumentType]
        if n_blocks < 2:
            raise UserError("--edit needs a model of two blocks or more: no later token reads what the last one writes")
        cities = stored_cities(inspected.data.path)
        cities = cities.take(np.flatnonzero(~is_invented(cities)))
        place_C3 = unit_vectors(cities.lat_deg, cities.lon_deg)
        vocabulary = read_vocabulary(inspected.data.path / "tokenizer")
        mind = Mind(inspected.model, cities.city_id, place_C3, vocabulary)
        drawn = draw(place_C3, self.chosen)
        found = [_look_at(mind, role, drawn, n_blocks, self.chosen.edit_seed) for role in get_args(Role)]
        scan, moved, path = ([row for part in found for row in part[number]] for number in range(3))
        n_moved, n_partners = drawn.moved[2].shape
        title = f"{inspected.task.name}, step {inspected.step:,}"
        metrics = {"n_moved": float(n_moved), "n_partners": float(n_partners), **_metrics(moved)}
        return ViewResult(
            metrics,
            {"blocks": scan, "moved": moved, "path": path},
            {"blocks.png": partial(draw_blocks, _at_token(scan, moved), title)},
            _lines(moved, path, n_moved, self.chosen.n_moved),
        )


def draw(place_C3: np.ndarray, chosen: EditOptions) -> Drawn:
    """Draw 60 % of the cities to fit on, and of the others those to choose block and token on and those to move.

    Raises:
        UserError: The world is too small.
    """
    rng = np.random.default_rng(chosen.edit_seed)
    order = rng.permutation(len(place_C3))
    fit, others = np.split(order, [min(MOST_FITTED, int(0.6 * len(order)))])
    far_CN = angles_km(place_C3[:, None], place_C3[others])
    is_target_CN = (far_CN >= NEAREST_KM) & (far_CN <= FARTHEST_KM)
    has_target_N = is_target_CN.any(axis=0)
    others, is_target_CN = others[has_target_N], is_target_CN[:, has_target_N]
    n_choice = min(CHOSEN_ON, len(others) // 4)
    n_partners = min(chosen.n_partners, len(fit) - 1)
    if n_choice < 1 or n_partners < 3:
        raise UserError(
            f"--edit needs about 20 cities, some of them {NEAREST_KM:,.0f} to {FARTHEST_KM:,.0f} km apart, and the"
            f" dataset has {len(place_C3)}; look at a model of a larger world"
        )
    target_N = np.array([rng.choice(np.flatnonzero(is_target_CN[:, n])) for n in range(len(others))])
    partner_NP = np.stack([rng.choice(fit[fit != target], n_partners, replace=False) for target in target_N])
    sets = [
        (others[part], target_N[part], partner_NP[part])
        for part in (slice(n_choice), slice(n_choice, n_choice + chosen.n_moved))
    ]
    return Drawn(fit, *sets)


def _look_at(mind: Mind, role: Role, drawn: Drawn, n_blocks: int, seed: int) -> tuple[list[Row], list[Row], list[Row]]:
    """Return the rows of the tables `blocks`, `moved` and `path` for cities in one role."""
    partner_N = np.random.default_rng(seed).permutation(drawn.fit)
    states_NLTD, place_N3 = mind.states(role, drawn.fit, partner_N), mind.place_C3[drawn.fit]
    sites = [Site(block, token) for token in range(states_NLTD.shape[2]) for block in range(1, n_blocks)]
    fitted = {site: fit_site(states_NLTD[:, site.block - 1, site.token], place_N3, seed) for site in sites}
    choice = Asked(mind, role, *drawn.choice)
    encoded = {site: move(choice, fitted[site], site, "encoder") for site in sites}
    best = max(sites, key=lambda site: float(np.median(encoded[site].arrived_N)))
    others = [(site, kind) for site in sites if site.token == best.token for kind in _SCANNED]
    scan = [_row(role, site, "encoder", result) for site, result in encoded.items()]
    scan += [_row(role, site, kind, move(choice, fitted[site], site, kind)) for site, kind in others]
    asked = Asked(mind, role, *drawn.moved)
    moved = [_row(role, best, "none", asked.unedited())]
    moved += [_row(role, best, kind, move(asked, fitted[best], best, kind)) for kind in KINDS]
    return scan, [{**row, "degree": fitted[best].degree} for row in moved], _ways(choice, fitted[best], best, role)


def move(asked: Asked, fitted: Fitted, site: Site, kind: str) -> Followed:
    """Edit the states at a site, and return how the answers follow."""
    own_RD, donor_RD = asked.states_at(site)
    own_R3, target_R3 = asked.mind.place_C3[asked.own_R], asked.mind.place_C3[asked.target_R]
    return asked.follow(site, edited_states(kind, fitted, own_RD, donor_RD, own_R3, target_R3))


def _ways(asked: Asked, fitted: Fitted, site: Site, role: Role) -> list[Row]:
    """Go to the target in steps by the encoder: along the sphere, or straight from state to state."""
    own_RD, _ = asked.states_at(site)
    own_R3, target_R3 = asked.mind.place_C3[asked.own_R], asked.mind.place_C3[asked.target_R]
    from_RD, to_RD = fitted.encoder(own_R3), fitted.encoder(target_R3)
    rows = []
    for step in _STEPS:
        along_RD = fitted.encoder(along_sphere(own_R3, target_R3, step)) - from_RD
        goal_N3 = along_sphere(asked.own_N3, asked.target_N3, step)
        for way, moved_RD in (("along the sphere", along_RD), ("straight", step * (to_RD - from_RD))):
            followed = asked.follow(site, own_RD + moved_RD, goal_N3)
            rows.append({"share": step, "way": way, **_row(role, site, "encoder", followed)})
    return rows


def _row(role: Role, site: Site, kind: str, followed: Followed) -> Row:
    """Return medians over cities with their intervals."""
    token = ["last digit", *BEHIND[role]][site.token]
    row: Row = {"city": role, "block": site.block, "token": token, "edit": kind, "n": len(followed.share_N)}
    for name, values in (
        ("followed", followed.share_N),
        ("arrived", followed.arrived_N),
        ("off_km", followed.off_km_N),
    ):
        low, high = bootstrap_median(values)
        row |= {name: float(np.median(values)), f"{name}_from": low, f"{name}_to": high}
    return row | {"unreadable": followed.unread}


def _at_token(scan: Sequence[Row], moved: Sequence[Row]) -> list[Row]:
    """Return the rows of the tokens that were chosen, one for each city of a prompt."""
    chosen = {(row["city"], row["token"]) for row in moved}
    return [row for row in scan if (row["city"], row["token"]) in chosen]


def _metrics(moved: Sequence[Row]) -> dict[str, float]:
    """Return the rows of `moved` as metrics: `first_encoder_followed` and so on."""
    names = [f"{name}{end}" for name in ("followed", "arrived", "off_km") for end in ("", "_from", "_to")]
    values = {f"{row['city']}_{row['edit']}_{name}": row[name] for row in moved for name in (*names, "unreadable")}
    return values | {f"{row['city']}_{name}": float(row[name]) for row in moved for name in ("block", "degree")}


def _lines(moved: Sequence[Row], path: Sequence[Row], n_moved: int, asked: int) -> list[str]:
    few = f" ({asked} were asked for, and no more are left)" if n_moved < asked else ""
    shown = ("city", "block", "token", "edit", "followed", "arrived", "off_km", "unreadable")
    ways = [{name: row[name] for name in ("city", "block", "token", "share", "way", "off_km")} for row in path]
    return [
        f"{n_moved} cities moved{few}; medians over cities, their 95 % intervals are in moved.csv",
        format_table([{name: row[name] for name in shown} for row in moved]),
        f"on the way, by the encoder ({path[0]['n']} cities):",
        format_table(ways),
    ]
