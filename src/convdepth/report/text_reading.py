"""What the report says of the collapse, and of what the networks answer.

As in `report_text`, the sentences follow from the data, and turn with them.
"""

import itertools
import statistics

from convdepth.evaluation.results import Collapse, Point, Trial
from convdepth.report.load import Network, Results
from convdepth.report.text import extremes, listed, multiple, percent, short

HEAD = "head_dense"
"""Where the collapse study measures what reaches the head."""


def say_learned(results: Results) -> str:
    """Say up to which scale of its dropouts each network learned."""
    said: dict[str, list[str]] = {}
    for network in results.networks:
        said.setdefault(_thresholds(network), []).append(network.name)
    return " ".join(f"{listed(names)} learned {text}" for text, names in said.items())


def say_cause(results: Results) -> str:
    """Say with how much less dropout the networks learn that otherwise do not; may be empty."""
    sentences = []
    for network in results.networks:
        enough = list(itertools.takewhile(_all_learned, network.collapse.points))
        if network.replicates.has_learned or not enough:
            continue
        scale, seeds = enough[-1].scale, multiple(len(enough[-1].runs), "seed")
        less = f"With its dropouts multiplied with {scale:g} or less"
        when = less if scale else "Without any dropout"
        sentences.append(f"{when}, {network.name} learned with each of {seeds} that were tried.")
    return " ".join(sentences)


def say_signal(results: Results) -> str:
    """Say whether the signal at the head tells the trainings that learned from the others."""
    learned, failed = split_trials(results)
    number = len(learned) + len(failed)
    if not failed:
        return f"All of these {multiple(number, 'training')} learned, so no share was too small."
    if not learned:
        return f"None of these {multiple(number, 'training')} learned, so no share was enough."
    lowest = min(trial.signal[HEAD] for trial in learned)
    highest = max(trial.signal[HEAD] for trial in failed)
    text = (
        f"In each training that learned, at least {short(lowest)} of the variance that reaches the "
        f"head came from the image; in each that did not, at most {short(highest)}"
    )
    if lowest > highest:
        return f"{text}. So in these {multiple(number, 'training')} the share tells them apart."
    return f"{text}. The two overlap, so the share alone does not tell them apart."


def say_loss(results: Results) -> str:
    """Say what the trainings that learned nothing came to, beside the loss of the class prior."""
    _, failed = split_trials(results)
    if not failed:
        return (
            "Every training came below the loss of who knows the frequencies of the digits alone."
        )
    ratios = [trial.loss[-1] / trial.prior_loss for trial in failed]
    ends = " to ".join(dict.fromkeys(f"{ratio:.3f}" for ratio in (min(ratios), max(ratios))))
    text = (
        f"The {multiple(len(failed), 'training')} that did not learn ended at {ends} times the "
        "loss of the class prior"
    )
    if max(abs(ratio - 1) for ratio in ratios) < 0.01:
        return text + ": they know how frequent each digit is, and nothing of the images."
    return text + "."


def say_dead(results: Results) -> str:
    """Say in which networks a whole layer is dead, and how much is active in the others."""
    whole = multiple(results.num_images, "test image")
    sentences, others = [], []
    for network in results.networks:
        dead = [each.layer for each in network.reading.layers if not each.active]
        if not dead:
            others.append(network)
            continue
        verb = "are" if len(dead) > 1 else "is"
        sentences.append(
            f"In {network.name}, {listed(dead)} {verb} zero for each of {whole}: what follows "
            "knows nothing of the image, and for these images no gradient comes back."
        )
    if others:
        share = min(each.share for network in others for each in network.reading.layers)
        names = listed([network.name for network in others])
        sentences.append(
            f"In each layer of {names}, at least {percent(share)} of the channels answer to some "
            "image."
        )
    return " ".join(sentences)


def say_gradients(results: Results) -> str:
    """Say how far the first block's gradients agree on the labels, at each network's own scale."""
    agreements = {each.name: own_median(each, "agreement")["block1"] for each in results.networks}
    lowest, highest = extremes(agreements)
    if agreements[lowest] == agreements[highest]:
        share = short(agreements[lowest])
        return f"Gradients of the first block agree by {share} in each network."
    return (
        "Of what the labels add to the first block's gradients, masks and batches agree least in "
        f"{lowest}, on {short(agreements[lowest])}, and most in {highest}, on "
        f"{short(agreements[highest])}.{_tell_apart(results, agreements)}"
    )


def say_norms(results: Results) -> str:
    """Say how large the gradients of the first block are, at each network's own scale."""
    norms = {each.name: own_median(each, "gradient_norm")["block1"] for each in results.networks}
    lowest, highest = extremes(norms)
    if norms[lowest] == norms[highest]:
        return f"The norm of the first block's gradient is {short(norms[lowest])} in each network."
    return (
        f"The gradient of the first block is smallest in {lowest}, {short(norms[lowest])}, and "
        f"largest in {highest}, {short(norms[highest])}.{_tell_apart(results, norms)}"
    )


def _tell_apart(results: Results, values: dict[str, float]) -> str:
    """Say whether a value is lower in each network that did not learn than in all that did."""
    able: list[float] = []
    failed: list[float] = []
    for network in results.networks:
        own = network.collapse.at(network.architecture.dropout_scale)
        (able if _all_learned(own) else failed).append(values[network.name])
    if not able or not failed:
        return ""
    if max(failed) < min(able):
        return " It is lower wherever a training did not learn than wherever each did."
    return " It does not tell who learns from who does not."


def own_median(network: Network, kind: str) -> dict[str, float]:
    """Return the median over the seeds of a measurement, at the scale that the network has.

    Args:
        network: With its collapse study.
        kind: ``signal``, ``gradient_norm`` or ``agreement``.

    Returns:
        By block, in the order of the parameters; of ``signal`` also `HEAD`, which is last.
    """
    runs = network.collapse.at(network.architecture.dropout_scale).runs
    places = getattr(runs[0], kind)
    return {
        place: statistics.median([getattr(run, kind)[place] for run in runs]) for place in places
    }


def split_trials(results: Results) -> tuple[list[Trial], list[Trial]]:
    """Give the trainings of the collapse study that learned, and those that did not."""
    runs = [
        run for each in results.networks for point in each.collapse.points for run in point.runs
    ]
    learned = [run for run in runs if run.epochs_to_learn is not None]
    return learned, [run for run in runs if run.epochs_to_learn is None]


def say_calibration(results: Results) -> str:
    """Say whose probabilities are nearest to, and farthest from, how often it is right."""
    able = [each for each in results.networks if each.score.status == "ok"]
    if not able:
        return "No network has learned, so no probability means much."
    errors = {each.name: each.reading.calibration_error for each in able}
    nearest, farthest = extremes(errors)
    worst = next(each for each in able if each.name == farthest)
    said, right = mean_probability(worst), worst.score.accuracy
    tendency = "less" if said < right else "more"
    tail = f"says {percent(said)} on average, {tendency} than the {percent(right)} that it is right"
    if len(able) == 1:
        error = percent(errors[farthest])
        return f"{farthest} has an expected calibration error of {error}: it {tail}."
    return (
        f"Of those that learned, {nearest} has the smallest expected calibration error, "
        f"{percent(errors[nearest])}, and {farthest} the largest, {percent(errors[farthest])}: it "
        f"{tail}."
    )


def mean_probability(network: Network) -> float:
    """Give the mean probability that a network gives to its answers, 0 to 1."""
    bins = network.reading.reliability
    return sum(each.images * each.probability for each in bins) / sum(each.images for each in bins)


def say_agreement(results: Results) -> str:
    """Name the pairs that give the same answer most and least often."""
    shares = results.reading.agreement
    if not shares:
        return "There is one network, so there is none to agree with."
    lowest, highest = extremes(shares)
    text = f"{_both(highest)} give the same answer to {percent(shares[highest])} of the images"
    if len(shares) == 1:
        return text + "."
    return (
        f"{text}, the most of all pairs; {_both(lowest)} to {percent(shares[lowest])}, the fewest."
    )


def say_hardest(results: Results) -> str:
    """Say on how many images all networks fail that have learned."""
    found = results.reading.all_fail
    whole = multiple(results.num_images, "test image")
    share = found.images / results.num_images
    if not any(network.score.status == "ok" for network in results.networks):
        return f"No network has learned anything; all of them fail on {found.images:,} of {whole}."
    if len(found.networks) == 1:
        return (
            f"{found.networks[0]}, the only one that learned, fails on {found.images:,} of {whole}."
        )
    if not found.images:
        return f"There is no image on which {listed(found.networks)} all fail, of {whole}."
    return (
        f"On {found.images:,} of {whole} ({percent(share)}), {listed(found.networks)} all fail: no "
        "vote among them would be right there."
    )


def say_kernels(results: Results) -> str:
    """Say whose kernels are shown, and whose have learned nothing."""
    names = [network.name for network in results.networks]
    failed = [each.name for each in results.networks if each.score.status != "ok"]
    text = f"The kernels of the first convolution of {listed(names)}."
    if not failed:
        return text
    return f"{text} {listed(failed)} learned nothing that shows in the answers."


def say_confusion(results: Results) -> str:
    """Name the most frequent mistake of each network that learned."""
    able = [each for each in results.networks if each.score.status == "ok"]
    mistakes = [text for each in able if (text := _mistake(each))]
    if not mistakes:
        return "There is no network that learned and makes a mistake."
    return f"The most frequent mistakes: {'; '.join(mistakes)}."


def _both(pair: str) -> str:
    return listed(pair.split(" / "))


def _all_learned(point: Point) -> bool:
    return point.learned == len(point.runs)


def _thresholds(network: Network) -> str:
    """Say where along the scales a network stops to learn, and whether its own is beyond that."""
    found = network.collapse
    text = _scales(found)
    own = found.at(network.architecture.dropout_scale)
    if own.learned == len(own.runs) or own.scale != network.architecture.dropout_scale:
        return text
    count = multiple(len(own.runs), "training")
    return f"{text} With the dropouts that it has, {own.learned} of {count} learned."


def _scales(found: Collapse) -> str:
    counts = [point.learned / len(point.runs) for point in found.points]
    every = [point.scale for point in found.points if point.learned == len(point.runs)]
    none = [point.scale for point in found.points if not point.learned]
    if len(every) == len(counts):
        return f"with every seed at all scales, up to {max(every):g}."
    if len(none) == len(counts):
        return f"with no seed at any scale, also not at {min(none):g}."
    if not every or counts != sorted(counts, reverse=True):  # more dropout once helped
        parts = [
            f"{point.learned} of {len(point.runs)} seeds at {point.scale:g}"
            for point in found.points
        ]
        return f"with {listed(parts)}."
    text = f"with every seed up to scale {max(every):g}"
    return text + (f", and with none from {min(none):g} on." if none else ", and with some beyond.")


def _mistake(network: Network) -> str:
    """Say which digit a network most often takes for which other one; empty if it never does."""
    counts = network.confusion.copy()
    for digit in range(len(counts)):
        counts[digit, digit] = 0
    label, answer = divmod(int(counts.argmax()), len(counts))
    times = int(counts[label, answer])
    return f"{network.name} takes {times:,} of the {label}s for a {answer}" if times else ""
