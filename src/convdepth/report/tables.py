"""The tables of the report: what they say, cell by cell, and what they are sorted by."""

from collections.abc import Sequence
from dataclasses import dataclass

from convdepth.evaluation.results import Difference, Rule, Spread
from convdepth.report.load import Network, Results
from convdepth.report.text import mean_curve, multiple, percent, points, short, verdicts
from convdepth.report.text_reading import HEAD, mean_probability, own_median
from convdepth.report.text_tuning import tuned_networks, tuned_verdicts

NONE = "\N{EN DASH}"
"""What stands where there is nothing."""


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: What it says.
        below: What it says in a second line.
        key: What its column is sorted by; none where there is nothing.
        place: Of the network whose color it has; none where it has none.
        tint: How dark its ground is, 0 to 1; none where it is as all others.
        is_code: Whether it is something to type or to compare letter by letter.
    """

    text: str
    below: str = ""
    key: float | str | None = None
    place: int | None = None
    tint: float | None = None
    is_code: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: Its place in the page, without blanks.
        caption: What it shows.
        columns: Their names; the first cell of a row names the row.
        rows: As long as the columns.
        is_sortable: Whether the columns are worth sorting.
    """

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    is_sortable: bool = True

    @property
    def is_matrix(self) -> bool:
        """Whether the cells are tinted, all but those that name the rows."""
        return any(cell.tint is not None for row in self.rows for cell in row)

    def is_number(self, column: int) -> bool:
        """Say whether a column holds numbers, which stand at its right."""
        keys = [row[column].key for row in self.rows if row[column].key is not None]
        return bool(keys) and not any(isinstance(key, str) for key in keys)


def tabulate_results(results: Results) -> Table:
    """Give one row per network: what it is, and how good."""
    columns = [
        "network", "blocks", "parameters", "FLOP per image",
        "accuracy of the pipeline's run, 95 % interval", "top-2 accuracy",
        "mean over seeds ± sd, 95 % interval", "collapsed seeds", "loss", "notebook's accuracy",
        "notebook's loss",
    ]  # fmt: skip
    rows = [_result_row(network) for network in results.networks]
    return Table("results", "The networks, and how good they are", columns, rows)


def tabulate_seeds(results: Results) -> Table:
    """Give one row per training: network, seed, accuracy, loss, status."""
    rows = [
        [
            _name(network),
            _number(run.seed),
            _share(run.accuracy),
            _number(run.loss, f"{run.loss:.4f}"),
            _word(run.status),
        ]
        for network in results.networks
        for run in network.replicates.runs
    ]
    columns = ["network", "seed", "accuracy", "loss", "status"]
    return Table("seeds", "Each seed of each network", columns, rows)


def tabulate_pairs(results: Results) -> Table:
    """Give one row per pair of networks: the difference, the verdict, and the first seed's test."""
    columns = [
        "pair", "difference (points)", "95 % interval", "sd over seeds", "p", "corrected p",
        "verdict", "first seed: only the first right", "only the second right", "McNemar's p",
        "corrected",
    ]  # fmt: skip
    rows = []
    for each in verdicts(results):
        pair, test = each.pair, each.pair.first_seed
        deviation = pair.standard_deviation
        rows.append(
            [
                _word(f"{each.first.name} / {each.second.name}"),
                *_difference(pair),
                _number(deviation, NONE if deviation is None else points(deviation)),
                *_over_seeds(pair),
                _number(test.only_first),
                _number(test.only_second),
                _number(test.p, _p(test.p)),
                _number(test.corrected_p, _p(test.corrected_p)),
            ]
        )
    return Table("pairs", "The second network less the first", columns, rows)


def tabulate_curves(results: Results, images: str) -> Table:
    """Give one row per epoch: each network's mean accuracy and mean loss over its seeds."""
    networks = results.networks
    columns = ["epoch", *(f"{each.name} {kind}" for each in networks for kind in ("acc.", "loss"))]
    curves = [
        curve
        for each in networks
        for curve in (
            mean_curve(each, lambda curves: curves.val_accuracy),
            mean_curve(each, lambda curves: curves.val_loss),
        )
    ]
    rows = [
        [
            _number(epoch + 1),
            *(_curve_cell(curve, epoch, place) for place, curve in enumerate(curves)),
        ]
        for epoch in range(max(map(len, curves)))
    ]
    return Table("curves", f"Means over the seeds, on {images}", columns, rows)


def tabulate_learned(results: Results) -> Table:
    """Give for each network and each scale of its dropouts how many trainings learned."""
    scales = sorted({point.scale for each in results.networks for point in each.collapse.points})
    rows = []
    for network in results.networks:
        found = {point.scale: point for point in network.collapse.points}
        cells = [
            Cell(f"{point.learned} of {len(point.runs)}", tint=point.learned / len(point.runs))
            if (point := found.get(scale))
            else Cell(NONE)
            for scale in scales
        ]
        rows.append([_name(network), *cells])
    return Table(
        "learned",
        "How many trainings learned, by what all dropouts were multiplied with",
        ["network", *(f"\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}{scale:g}" for scale in scales)],
        rows,
        is_sortable=False,
    )


def tabulate_collapse(results: Results) -> Table:
    """Give one row per network and scale: what was kept, what got through, what was learned."""
    columns = ["network", "scale", "kept", "learned", "signal at the head", "last loss / prior"]
    rows = []
    for network in results.networks:
        for point in network.collapse.points:
            ratios = [run.loss[-1] / run.prior_loss for run in point.runs]
            share = point.learned / len(point.runs)
            rows.append(
                [
                    _name(network),
                    _number(point.scale, f"{point.scale:g}"),
                    _number(point.keep_share, short(point.keep_share)),
                    _number(share, f"{point.learned} of {len(point.runs)}"),
                    _number(point.signal[HEAD], short(point.signal[HEAD])),
                    _number(min(ratios), f"{min(ratios):.3f} to {max(ratios):.3f}"),
                ]
            )
    return Table("collapse", "The collapse study, scale by scale", columns, rows)


def tabulate_trials(results: Results) -> Table:
    """Give one row per training of the collapse study: where its loss ended, and when."""
    columns = ["network", "scale", "seed", "last loss", "loss of the prior", "learned in epoch"]
    rows = [
        [
            _name(network),
            _number(point.scale, f"{point.scale:g}"),
            _number(run.seed),
            _number(run.loss[-1], f"{run.loss[-1]:.4f}"),
            _number(run.prior_loss, f"{run.prior_loss:.4f}"),
            Cell(NONE) if run.epochs_to_learn is None else _number(run.epochs_to_learn),
        ]
        for network in results.networks
        for point in network.collapse.points
        for run in point.runs
    ]
    return Table("trials", "Training by training", columns, rows)


def tabulate_blocks(results: Results) -> Table:
    """Give one row per network and block: signal, gradient and agreement before any training."""
    columns = ["network", "block", "signal after it", "norm of the gradient", "agreement on labels"]
    rows = []
    for network in results.networks:
        kinds = [own_median(network, kind) for kind in ("signal", "gradient_norm", "agreement")]
        for block in kinds[0]:
            cells = [_optional(kind.get(block)) for kind in kinds]
            rows.append([_name(network), _word(block), *cells])
    return Table("blocks", "Block by block, with the dropouts that a network has", columns, rows)


def tabulate_active(results: Results) -> Table:
    """Give one row per network and layer: how many channels there are, and how many are active."""
    rows = [
        [_name(network), _word(each.layer), _number(each.channels), _number(each.active)]
        for network in results.networks
        for each in network.reading.layers
    ]
    columns = ["network", "layer", "channels", "that answer to some image"]
    return Table("active", "Layer by layer, after the training", columns, rows)


def tabulate_tuning(results: Results) -> Table:
    """Give one row per tuned network: how good it was and is, and whether that is a difference."""
    columns = [
        "network", "by the recipe: mean ± sd, 95 % interval", "tuned: mean ± sd, 95 % interval",
        "gain (points)", "95 % interval of the gain", "p", "corrected p", "verdict",
        "tuned seeds that collapsed",
    ]  # fmt: skip
    rows = []
    for network, found in tuned_networks(results):
        gain = results.contrasts.gains.networks[network.name]
        rows.append(
            [
                _name(network),
                _mean(network.replicates.accuracy),
                _mean(found.accuracy),
                *_difference(gain),
                *_over_seeds(gain),
                _number(found.collapsed, f"{found.collapsed} of {found.count}"),
            ]
        )
    return Table("tuning", "What tuning changed", columns, rows)


def tabulate_settings(results: Results) -> Table:
    """Give one row per tuned network: its settings."""
    columns = {
        "optimizer": "optimizer",
        "learning_rate": "learning rate",
        "schedule": "schedule",
        "weight_decay": "weight decay",
        "label_smoothing": "label smoothing",
        "shift": "shift",
        "rotation": "rotation",
        "zoom": "zoom",
        "dropout_scale": "dropouts, times",
        "batch_normalization": "batch normalization",
    }
    rows = [
        [_name(network), *(_setting(found.settings.get(key)) for key in columns)]
        for network, found in tuned_networks(results)
    ]
    return Table("settings", "What the tuning settled", ["network", *columns.values()], rows)


def tabulate_tuning_costs(results: Results) -> Table:
    """Give one row per tuned network: what it costs, and what it did by the recipe."""
    columns = [
        "network", "parameters", "parameters, tuned", "FLOP per image", "FLOP per image, tuned",
        "images trained on", "images trained on, tuned",
    ]  # fmt: skip
    images = results.recipe.epochs * (results.train_images - results.recipe.validation_images)
    rows = [
        [
            _name(network),
            _number(network.architecture.num_parameters),
            _number(found.cost.parameters),
            _number(network.architecture.flop),
            _number(found.cost.flop),
            _number(images),
            _number(found.cost.images),
        ]
        for network, found in tuned_networks(results)
    ]
    return Table("tuning-costs", "What each costs, by the recipe and tuned", columns, rows)


def tabulate_tuned_pairs(results: Results) -> Table:
    """Give one row per pair of tuned networks: the difference, and the verdict."""
    rows = [
        [
            _word(f"{each.first.name} / {each.second.name}"),
            *_difference(each.pair),
            *_over_seeds(each.pair),
        ]
        for each in tuned_verdicts(results)
    ]
    columns = ["pair", "difference (points)", "95 % interval", "p", "corrected p", "verdict"]
    return Table("tuned-pairs", "The second tuned network less the first", columns, rows)


def tabulate_calibration(results: Results) -> Table:
    """Give one row per network: how sure it is, how often it is right, and the error of that."""
    columns = ["network", "mean probability", "accuracy", "expected calibration error"]
    rows = [
        [
            _name(network),
            _share(mean_probability(network)),
            _share(network.score.accuracy),
            _share(network.reading.calibration_error),
        ]
        for network in results.networks
    ]
    return Table("calibration", "How sure the networks are", columns, rows)


def tabulate_reliability(results: Results) -> Table:
    """Give one row per network and range of probabilities."""
    rows = [
        [_name(network), _share(each.probability), _share(each.accuracy), _number(each.images)]
        for network in results.networks
        for each in network.reading.reliability
    ]
    columns = ["network", "mean probability", "accuracy", "images"]
    return Table("reliability", "By ranges of probability", columns, rows)


def tabulate_agreement(results: Results) -> Table:
    """Give the share of the images to which two networks give the same answer."""
    shares = results.reading.agreement
    names = [network.name for network in results.networks]
    rows = []
    for network in results.networks:
        cells = []
        for other in names:
            found = shares.get(f"{network.name} / {other}", shares.get(f"{other} / {network.name}"))
            cells.append(Cell(NONE) if found is None else Cell(percent(found), tint=found))
        rows.append([_name(network), *cells])
    caption = "Share of the images with the same answer"
    return Table("agreement", caption, ["network", *names], rows, is_sortable=False)


def tabulate_costs(results: Results) -> Table:
    """Give one row per network: what it costs, and its mean accuracy."""
    rows = [
        [
            _name(network),
            _number(network.architecture.flop),
            _number(network.architecture.num_parameters),
            _share(network.replicates.accuracy.mean),
            _interval(network.replicates.accuracy.low, network.replicates.accuracy.high),
        ]
        for network in results.networks
    ]
    columns = ["network", "FLOP per image", "parameters", "mean accuracy", "95 % interval"]
    return Table("costs", "Accuracy and what it costs", columns, rows)


def tabulate_validation(results: Results) -> Table:
    """Give one row per table that was checked: how many rules there are, and how many break."""
    rules = results.validation.rules
    rows = []
    for name in dict.fromkeys(rule.table for rule in rules):
        own = [rule for rule in rules if rule.table == name]
        broken = sum(bool(rule.num_broken) for rule in own)
        rows.append([_word(name.replace("_", " ")), _number(len(own)), _number(broken)])
    columns = ["table", "rules", "rules that rows break"]
    return Table("validation", "What was checked", columns, rows, is_sortable=False)


def tabulate_rules(results: Results) -> Table:
    """Give one row per rule for the data."""
    rows = [
        [_word(rule.rule), _word(rule.table.replace("_", " ")), _word(_found(rule))]
        for rule in results.validation.rules
    ]
    return Table("rules", "Each rule for the data", ["rule", "table", "found"], rows)


def tabulate_models(results: Results) -> Table:
    """Give one row per network: the MD5 of its model, and how to find the commit that has it."""
    rows = [
        [
            _name(network),
            Cell(network.model_md5, is_code=True),
            Cell(f"git log --reverse -S{network.model_md5} -- dvc.lock", is_code=True),
        ]
        for network in results.networks
    ]
    columns = ["network", "MD5 of the model", "finds the commit that has it"]
    return Table("models", "The models", columns, rows, is_sortable=False)


def _result_row(network: Network) -> list[Cell]:
    score, found, record = network.score, network.replicates, network.record
    return [
        _name(network),
        _number(network.num_blocks),
        _number(network.architecture.num_parameters),
        _number(network.architecture.flop),
        Cell(
            percent(score.accuracy), _span(score.accuracy_low, score.accuracy_high), score.accuracy
        ),
        _share(score.top2_accuracy),
        _mean(found.accuracy),
        _number(found.collapsed, f"{found.collapsed} of {found.count}"),
        _number(score.loss, f"{score.loss:.4f}"),
        _share(record.test_accuracy if record else None),
        _number(record.test_loss, f"{record.test_loss:.4f}") if record else Cell(NONE),
    ]


def _name(network: Network) -> Cell:
    return Cell(network.name, key=network.name, place=network.place)


def _word(text: str) -> Cell:
    return Cell(text, key=text)


def _number(value: float | None, text: str | None = None) -> Cell:
    return Cell(f"{value:,}" if text is None else text, key=value)


def _share(value: float | None) -> Cell:
    return Cell(NONE) if value is None else Cell(percent(value), key=value)


def _interval(low: float, high: float) -> Cell:
    return Cell(_span(low, high), key=low)


def _span(low: float, high: float) -> str:
    return f"{points(low)} to {percent(high)}"


def _mean(spread: Spread) -> Cell:
    deviation = spread.standard_deviation
    mean = (
        percent(spread.mean)
        if deviation is None
        else f"{points(spread.mean)} ± {percent(deviation)}"
    )
    return Cell(mean, _span(spread.low, spread.high), spread.mean)


def _difference(found: Difference) -> list[Cell]:
    """Give a difference in points, and its interval."""
    return [
        _number(found.difference, _signed(found.difference)),
        _number(found.low, f"{_signed(found.low)} to {_signed(found.high)}"),
    ]


def _over_seeds(found: Difference) -> list[Cell]:
    """Give the p of a difference, the corrected one, and the verdict that follows from it."""
    return [
        *(Cell(NONE) if p is None else _number(p, _p(p)) for p in (found.p, found.corrected_p)),
        _word(found.verdict),
    ]


def _setting(value: float | bool | str | None) -> Cell:
    if isinstance(value, bool):
        return _word("yes" if value else "no")
    if isinstance(value, str):
        return _word(value.replace("_", " "))
    return _optional(value)


def _optional(value: float | None) -> Cell:
    return Cell(NONE) if value is None else _number(value, short(value))


def _curve_cell(curve: Sequence[float], epoch: int, place: int) -> Cell:
    if epoch >= len(curve):
        return Cell(NONE)
    return _number(curve[epoch], f"{curve[epoch]:.4f}") if place % 2 else _share(curve[epoch])


def _signed(difference: float) -> str:
    shown = round(100 * difference, 2) + 0  # + 0, since -0.00 is none
    return f"{shown:+.2f}".replace("-", "\N{MINUS SIGN}")


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _found(rule: Rule) -> str:
    if rule.num_broken is not None:
        return (
            "no row breaks it"
            if not rule.num_broken
            else f"{multiple(rule.num_broken, 'row')} break it"
        )
    return NONE if rule.observed is None else f"{rule.observed:,.10g}"
