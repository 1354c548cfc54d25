"""What the report shows, section by section: a conclusion, what it rests on, charts and tables."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convdepth.evaluation.results import Hard
from convdepth.report import charts, tables, text
from convdepth.report import text_reading as study
from convdepth.report import text_tuning as tuning
from convdepth.report.charts import Chart
from convdepth.report.load import Results
from convdepth.report.tables import Table


@dataclass(frozen=True)
class Picture:
    """A picture with what it shows.

    Attributes:
        url: The picture itself, as data.
        alt: What it shows, for who cannot see it.
    """

    url: str
    alt: str


@dataclass(frozen=True)
class Exhibit:
    """Charts, tables and pictures that show one thing.

    Attributes:
        name: Its place in the page, without blanks.
        title: Above it.
        conclusion: What it shows, in a sentence.
        basis: How many seeds and images it rests on.
        charts: Side by side, as far as there is room.
        tables: Below them.
        data: Tables that are folded away: what the charts are drawn from.
        pictures: Of others.
        note: How to read it.
    """

    name: str
    title: str
    conclusion: str
    basis: str
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    data: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    note: str = ""

    @property
    def drawn(self) -> set[str]:
        """The names of the networks that its charts show."""
        return {trace.meta for chart in self.charts for trace in chart.figure.data if trace.meta}


@dataclass(frozen=True)
class Section:
    """A section of the page: its place there, its heading, and what it shows."""

    name: str
    title: str
    exhibits: Sequence[Exhibit]


@dataclass(frozen=True)
class HardImage:
    """One of the hardest images: what it is, its picture, and who answered what to it."""

    hard: Hard
    picture: Picture
    answers: Sequence[tuple[str, int, int]]
    """For each network that learned its name, its place and its answer."""


def answer(results: Results) -> list[tuple[str, str]]:
    """Answer what the page is about.

    Args:
        results: All of them.

    Returns:
        Questions with their answers.
    """
    return [
        ("Does depth help?", f"{text.say_depth(results)} {text.say_best(results)}"),
        ("How sure is that?", text.say_certainty(results)),
        ("What collapsed?", f"{text.say_collapse(results)} {study.say_cause(results)}".strip()),
        ("Does tuning help?", f"{tuning.say_tuning(results)} {_tuned_depth(results)}".strip()),
        ("What did the notebook say?", text.say_notebook(results)),
    ]


def _tuned_depth(results: Results) -> str:
    """Say what tuning does to the answer about depth; empty where nothing is said of it."""
    return tuning.say_tuned_depth(results) if len(tuning.tuned_networks(results)) > 1 else ""


def gather_sections(results: Results) -> list[Section]:
    """Put together all that the page shows below the answer.

    Args:
        results: All of them.

    Returns:
        The sections in their order.
    """
    return [
        Section("results", "Results", [_show_results(results)]),
        Section("seeds", "Accuracy over seeds", [_show_seeds(results)]),
        Section("pairs", "Pairs of networks", [_show_pairs(results)]),
        Section("curves", "Learning curves", [_show_curves(results)]),
        Section("collapse", "The collapse", _show_collapse(results)),
        Section("tuning", "Tuning", _show_tuning(results)),
        Section("reading", "Reading the networks", _show_reading(results)),
        Section("data", "The data", [_show_data(results)]),
        Section("reproduce", "How to get these results again", [_show_models(results)]),
    ]


def show_hardest(results: Results) -> list[HardImage]:
    """Give the hardest images with the answers of the networks that learned.

    Args:
        results: With the images.

    Returns:
        The hardest first.
    """
    places = {network.name: network.place for network in results.networks}
    return [
        HardImage(
            hard,
            Picture(
                _url(_encode(pixels)), f"Test image {hard.index}, a digit labelled {hard.label}"
            ),
            [(name, places[name], hard.answers[name]) for name in places if name in hard.answers],
        )
        for hard, pixels in zip(results.reading.hardest, results.hardest, strict=True)
    ]


def _show_results(results: Results) -> Exhibit:
    return Exhibit(
        "results-table",
        "Each network, beside what the notebook recorded",
        text.say_results(results),
        _seeds_and_images(results),
        tables=[tables.tabulate_results(results)],
        note=(
            "The interval of the pipeline's run is Wilson's, for other images. Top-2 accuracy: the "
            "share of images whose label is among the two most probable digits, in the pipeline's "
            "run. The interval of the "
            "mean is for other seeds and other images: both are drawn anew, with replacement "
            "(pigeonhole bootstrap, Owen 2007). A few seeds tell little of how seeds differ, so it "
            "is rather too narrow. Collapsed: at least 99 % of the answers are the same digit. "
            "FLOP: those of the forward pass, a multiplication and an addition counted as two. A "
            "block is some convolutions, a max pooling and, in most, a dropout; the notebook calls "
            "it a layer."
        ),
    )


def _show_seeds(results: Results) -> Exhibit:
    return Exhibit(
        "seeds-plot",
        "All seeds, and the mean of each network",
        text.say_seeds(results),
        _seeds_and_images(results),
        charts=charts.draw_seeds(results),
        data=[tables.tabulate_seeds(results)],
        note=(
            "Small markers: one seed each. Large marker with ends: the mean and its 95 % interval. "
            "Accuracies are spread out towards 100 %: equal ways along the axis are equal ratios "
            "of the errors."
        ),
    )


def _show_pairs(results: Results) -> Exhibit:
    return Exhibit(
        "pairs-table",
        "Which networks differ",
        text.say_pairs(results),
        _seeds_and_images(results),
        tables=[tables.tabulate_pairs(results)],
        note=(
            "Differences are in percentage points of accuracy, the second network less the first. "
            f"{_TESTED} McNemar's exact test of the first seed, corrected likewise, is what a "
            "single training of each would have said, of these two trainings and not of the "
            "networks."
        ),
    )


_TESTED = (
    "The interval is by bootstrap, and rather too narrow. p is by an analysis of variance over "
    "seeds and images, which knows how few seeds there are (Hillis 2007), and corrected because "
    "several are tested (Holm). The verdict goes by that."
)


def _show_curves(results: Results) -> Exhibit:
    images = text.curve_images(results)
    selected = (
        "Nothing is selected by these curves."
        if results.recipe.validation_images
        else "As in the notebook, they are of the test images; nothing is selected by them."
    )
    return Exhibit(
        "curves-plot",
        "Epoch by epoch",
        text.say_curves(results),
        _seeds_and_images(results),
        charts=charts.draw_curves(results, images),
        data=[tables.tabulate_curves(results, images)],
        note=(
            "Thin: one seed each. Bold: their mean. Crosses: what the notebook recorded. "
            f"{selected} In training, dropout is on, so its figures are worse. Point at a curve to "
            "read its values."
        ),
    )


def _show_collapse(results: Results) -> list[Exhibit]:
    found = results.networks[0].collapse
    seeds = text.multiple(len(found.points[0].runs), "seed")
    trained = (
        f"{seeds} for each scale, each trained until its loss on held-out training images was "
        f"below {found.learned:g} times that of the class prior, or for "
        f"{text.multiple(found.epochs, 'epoch')}."
    )
    fresh = f"Medians over {seeds}, before any training, with dropout on."
    return [
        _show_learned(results, trained),
        _show_signal(results, fresh),
        _show_prior(results, trained),
        _show_gradients(results, fresh),
        _show_dead(results),
    ]


def _show_learned(results: Results, basis: str) -> Exhibit:
    return Exhibit(
        "collapse-learned",
        "Who learned, with how much dropout",
        study.say_learned(results),
        basis,
        tables=[tables.tabulate_learned(results)],
        note=(
            "All dropout rates of a network were multiplied with the scale: with 0 there is no "
            "dropout, with 1 there are the rates as the parameters give them for each block. A "
            "scale that makes a rate of 1 or more is left out."
        ),
    )


def _show_signal(results: Results, basis: str) -> Exhibit:
    return Exhibit(
        "collapse-signal",
        "What reaches the head",
        study.say_signal(results),
        basis,
        charts=charts.draw_signal(results),
        data=[tables.tabulate_collapse(results)],
        note=(
            "What differs from image to image is signal; what differs from dropout mask to mask, "
            "for one image, is noise. The chart shows the signal's share of the variance."
        ),
    )


def _show_prior(results: Results, basis: str) -> Exhibit:
    return Exhibit(
        "collapse-loss",
        "Where the loss ended",
        study.say_loss(results),
        basis,
        charts=charts.draw_prior(results),
        data=[tables.tabulate_trials(results)],
        note=(
            "The loss of the class prior is that of knowing nothing but how frequent each digit "
            "is. Who had learned was not trained further, so what lies below 1 is no ranking. The "
            "networks stand a little beside their scale, so that none hides another."
        ),
    )


def _show_gradients(results: Results, basis: str) -> Exhibit:
    return Exhibit(
        "collapse-gradients",
        "What comes back",
        f"{study.say_gradients(results)} {study.say_norms(results)}",
        f"{basis} Each network at the scale that it has, or at the nearest one measured.",
        charts=charts.draw_gradients(results),
        data=[tables.tabulate_blocks(results)],
        note=(
            "Agreement: of what the right labels add to the gradient, the share of the mean square "
            "that masks and batches have in common. A share of 0 stands at the lower edge."
        ),
    )


def _show_dead(results: Results) -> Exhibit:
    return Exhibit(
        "collapse-dead",
        "Dead channels",
        study.say_dead(results),
        "The networks of the pipeline, after their training: one seed, without dropout.",
        charts=charts.draw_active(results),
        data=[tables.tabulate_active(results)],
        note=(
            "A channel of a layer with a ReLU is active if it is above zero somewhere in at least "
            "one test image, and dead if in none: for these images no gradient comes back through "
            "it."
        ),
    )


def _show_tuning(results: Results) -> list[Exhibit]:
    if not tuning.tuned_networks(results):
        return [
            Exhibit(
                "tuning-none",
                "Can the accuracies be increased?",
                tuning.say_tuning(results),
                "The notebook's last sentence says that tuning would do that. "
                "`convdepth tune` searches for settings.",
            )
        ]
    return [
        Exhibit(
            "tuning-gains",
            "Each network, by the recipe and tuned",
            tuning.say_tuning(results),
            _seeds_and_images(results),
            charts=charts.draw_tuning(results),
            tables=[tables.tabulate_tuning(results)],
            data=[tables.tabulate_settings(results), tables.tabulate_tuning_costs(results)],
            note=(
                "The notebook's last sentence says that tuning would increase the accuracies. The "
                "search knew held-out training images alone, with the same budget for each "
                "network; with what it found each was trained on all training images, with the "
                f"seeds that the recipe had{tuning.say_precision(results)}. {_TESTED}"
            ),
        ),
        Exhibit(
            "tuning-depth",
            "Does depth help when each network is tuned?",
            tuning.say_tuned_depth(results),
            _seeds_and_images(results),
            tables=[tables.tabulate_tuned_pairs(results)],
            note=f"Each has settings of its own, so it is not the effect of depth alone. {_TESTED}",
        ),
    ]


def _show_reading(results: Results) -> list[Exhibit]:
    basis = f"The pipeline's run of each network, {_images(results)}. No difference was tested."
    return [
        Exhibit(
            "reading-calibration",
            "Is a network as often right as it is sure?",
            study.say_calibration(results),
            basis,
            charts=charts.draw_reliability(results),
            tables=[tables.tabulate_calibration(results)],
            data=[tables.tabulate_reliability(results)],
            note=(
                "Expected calibration error: the mean difference between probability and accuracy, "
                "over 15 ranges of probability (Naeini et al. 2015, Guo et al. 2017). Ranges with "
                f"fewer than {charts.FEW_IMAGES} images are left out of the chart, since chance "
                "rules there; the numbers below have them."
            ),
        ),
        Exhibit(
            "reading-agreement",
            "Who answers alike?",
            study.say_agreement(results),
            basis,
            tables=[tables.tabulate_agreement(results)],
        ),
        Exhibit(
            "reading-hardest",
            "The hardest images",
            study.say_hardest(results),
            f"The pipeline's run of each network that learned, {_images(results)}.",
            note=(
                "Some labels are wrong: Northcutt et al. 2021, “Pervasive Label Errors in Test "
                "Sets”, estimate 0.15 % for MNIST's test set. So no network can be expected to "
                "reach 100 %."
            ),
        ),
        Exhibit(
            "reading-confusion",
            "Which digits are confused?",
            study.say_confusion(results),
            basis,
            pictures=[_picture(results, "confusion", "Confusion matrices, labels against answers")],
        ),
        *_show_costs(results),
        *_show_pictures(results),
    ]


def _show_costs(results: Results) -> list[Exhibit]:
    return [
        Exhibit(
            "reading-costs",
            "Accuracy and what it costs",
            _two_costs(results),
            _seeds_and_images(results),
            charts=charts.draw_costs(results),
            data=[tables.tabulate_costs(results)],
            note=(
                "Bars: the 95 % interval of the mean over seeds and images. Better is up and left. "
                "What tuned networks cost to train is in the section on tuning."
            ),
        )
    ]


def _two_costs(results: Results) -> str:
    both = [text.say_pareto(results, cost) for cost in ("flop", "parameters")]
    return " ".join(dict.fromkeys([*both, tuning.say_tuned_costs(results)])).rstrip()


def _show_pictures(results: Results) -> list[Exhibit]:
    shown = results.reading.all_fail.networks
    return [
        Exhibit(
            "reading-kernels",
            "What the first layer looks for",
            study.say_kernels(results),
            "The pipeline's run of each network. To look at: nothing is measured here.",
            pictures=[_picture(results, "kernels", "Kernels of the first convolution")],
        ),
        Exhibit(
            "reading-grad-cam",
            "Where the networks look",
            f"What speaks for the answers of {text.listed(shown)} to the hardest images.",
            "The pipeline's run of each network that learned. To look at: nothing is measured.",
            pictures=[_picture(results, "grad_cam", "Grad-CAM maps on the hardest images")],
            note=(
                "Grad-CAM (Selvaraju et al. 2017), on the last convolution whose maps have eight "
                "or more values on a side."
            ),
        ),
    ]


def _show_data(results: Results) -> Exhibit:
    return Exhibit(
        "data-rules",
        "What was checked before any training",
        text.say_data(results),
        "All raw images of MNIST, and all normalized ones that are used.",
        tables=[tables.tabulate_validation(results)],
        data=[tables.tabulate_rules(results)],
        note=(
            "No training starts before all rules hold. They are checks, by Great Expectations, of "
            "one row per image: labels, pixels, ink, duplicates within a split and across splits, "
            "class counts, and whether each normalized image is its raw one divided by 255."
        ),
    )


def _show_models(results: Results) -> Exhibit:
    recipe = results.recipe
    return Exhibit(
        "reproduce-models",
        "Which bytes these are",
        text.say_first_seeds(results),
        "Equal parameters, data and code give equal bytes within one numeric class.",
        tables=[tables.tabulate_models(results)],
        note=(
            f"The recipe trains in {recipe.precision} with "
            f"{text.multiple(recipe.threads, 'thread')}. `convdepth doctor` shows in which numeric "
            "class each model of the workspace was trained."
        ),
    )


def _all_names(results: Results) -> list[str]:
    return [network.name for network in results.networks]


def _images(results: Results) -> str:
    return text.multiple(results.num_images, "test image")


def _seeds_and_images(results: Results) -> str:
    return f"{text.multiple(results.contrasts.seeds, 'seed')} of each network, {_images(results)}."


def _picture(results: Results, name: str, alt: str) -> Picture:
    return Picture(_url(results.pictures[name]), f"{alt}, of {text.listed(_all_names(results))}.")


def _url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _encode(pixels: NDArray[np.float32]) -> bytes:
    """Make a PNG of a digit, dark on white."""
    gray = np.rint(255 * (1 - pixels)).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(gray).save(content, "PNG", optimize=True)
    return content.getvalue()
