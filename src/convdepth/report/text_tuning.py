"""What the report says about tuning: sentences that follow from the data, and turn with them."""

from convdepth.evaluation.results import TunedNetwork
from convdepth.evaluation.significance import NO_EVIDENCE
from convdepth.report.load import Network, Results
from convdepth.report.text import (
    Verdict,
    listed,
    of_different_depth,
    pair_up,
    say_beaten,
    weigh_costs,
    weigh_depth,
    with_interval,
)

BETTER = "tuned is better"


def tuned_networks(results: Results) -> list[tuple[Network, TunedNetwork]]:
    """Give each network that was tuned, beside what it is now."""
    return [(network, network.tuned) for network in results.networks if network.tuned]


def tuned_verdicts(results: Results) -> list[Verdict]:
    """Give the verdict about each pair of tuned networks, in the order of the parameters."""
    networks = [network for network, _ in tuned_networks(results)]
    return pair_up(networks, results.contrasts.tuned)


def say_tuning(results: Results) -> str:
    """Say which networks tuning has made better, and how good the best of them is."""
    tuned = tuned_networks(results)
    if not tuned:
        return "No tuning was confirmed: no network has settings in studies/params.yaml."
    gains = results.contrasts.gains.networks
    better = [name for name, gain in gains.items() if gain.verdict == BETTER]
    same = [name for name, gain in gains.items() if gain.verdict == NO_EVIDENCE]
    worse = [name for name in gains if name not in better + same]
    parts = [f"Tuning makes {listed(better)} better"] if better else []
    parts += [f"there is no evidence that tuning changes {listed(same)}"] if same else []
    parts += [f"tuning makes {listed(worse)} worse"] if worse else []
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}. {_say_best(tuned)} {_say_failed(tuned)}".rstrip()


def say_tuned_depth(results: Results) -> str:
    """Say what the tuned networks tell of depth."""
    pairs = of_different_depth(tuned_verdicts(results))
    if not pairs:
        return "There are no two tuned networks of different depth, so nothing is said about it."
    return _among_tuned(weigh_depth(pairs))


def say_precision(results: Results) -> str:
    """Say which precision the tuned networks compute in, if the recipe has another one."""
    others = sorted({found.precision for _, found in tuned_networks(results)})
    if others == [results.recipe.precision]:
        return ""
    return f", in {listed(others)} instead of {results.recipe.precision}"


def say_tuned_costs(results: Results) -> str:
    """Say which tuned networks are beaten by a tuned one that costs less; empty if there is one."""
    costs = {network.name: found.cost for network, found in tuned_networks(results)}
    if len(costs) < 2:
        return ""
    beaten = {
        kind: weigh_costs(
            tuned_verdicts(results), {name: getattr(cost, kind) for name, cost in costs.items()}
        )
        for kind in ("flop", "parameters")
    }
    return _among_tuned(" ".join(say_beaten(found, kind) for kind, found in beaten.items()))


def _among_tuned(text: str) -> str:
    return f"Among the tuned networks: {text[0].lower()}{text[1:]}"


def _say_best(tuned: list[tuple[Network, TunedNetwork]]) -> str:
    best, found = max(tuned, key=lambda each: each[1].accuracy.mean)
    return f"Tuned, {best.name} has the highest mean accuracy, {with_interval(found.accuracy)}."


def _say_failed(tuned: list[tuple[Network, TunedNetwork]]) -> str:
    failed = [network.name for network, found in tuned if not found.has_learned]
    if not failed:
        return "All of them learned with every seed." if len(tuned) > 1 else ""
    return f"Not every seed of {listed(failed)} learned."
