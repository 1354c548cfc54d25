"""A lesson for a class: does depth help on MNIST? `make lesson` opens it in a browser.

It shows the results in git. Its switch trains three networks on few images.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Does depth help on MNIST?")

with app.setup:
    import subprocess
    import sys
    import tempfile
    from pathlib import Path

    import marimo as mo
    import matplotlib.pyplot as plt
    import pandas as pd
    from ruamel.yaml import YAML

    from convdepth.config.architecture import walk
    from convdepth.config.dataset import SPLIT_SIZES
    from convdepth.config.params import read_params
    from convdepth.core.numbers import short_p
    from convdepth.data import idx
    from convdepth.evaluation.collapse_trials import Collapse
    from convdepth.evaluation.result_file import read_result
    from convdepth.evaluation.results import Validation
    from convdepth.evaluation.significance import mcnemar
    from convdepth.figures.palette import COLORS

    PROJECT = Path(__file__).resolve().parent.parent
    RAW, METRICS = PROJECT / "data" / "raw", PROJECT / "metrics"


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Does depth help on MNIST?

    Four convolutional networks with 1, 3, 5 and 7 blocks learn the same task by the same recipe. A block is
    one or more convolutions, a max pooling and a dropout. This page shows recorded results; nothing is trained
    until you turn on the switch at the end.
    """)


@app.cell(hide_code=True)
def _():
    validation = read_result(METRICS / "validation.json", Validation, "dvc repro validate")
    mo.md(f"""
    ## 1. The data

    MNIST has 60,000 images to train on and 10,000 to test with: handwritten digits of 28 x 28 pixels. Before each
    training, {validation.num_rules} rules check {validation.images["raw"]:,} images and their labels. The recorded check
    {"passed" if validation.success else "failed"}.
    """)


@app.cell
def _():
    mo.stop(not RAW.exists(), mo.md("To see the images, run `dvc repro download`, then this cell."))
    _pixels, _labels = idx.read_split(RAW, "test")
    digits, _panels = plt.subplots(2, 10, figsize=(10, 2.4))
    for _panel, _image, _label in zip(_panels.flat, _pixels, _labels, strict=False):
        _panel.imshow(_image, cmap="gray_r")
        _panel.set_title(str(_label))
        _panel.axis("off")
    digits


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## 2. The networks

    `params.yaml` holds every number of the architectures. A multiplication and an addition count as two FLOP.
    """)


@app.cell
def _():
    networks = read_params(PROJECT / "params.yaml").architectures
    sizes = pd.DataFrame(
        {
            "network": list(networks),
            "blocks": [len(each.blocks) for each in networks.values()],
            "parameters": [each.num_parameters for each in networks.values()],
            "FLOP per image": [each.flop for each in networks.values()],
        }
    )
    choice = mo.ui.dropdown(list(networks), value=next(iter(networks)), label="Layers of")
    mo.vstack([sizes, choice])
    return choice, networks


@app.cell
def _(choice, networks):
    pd.DataFrame(walk(networks[choice.value]))


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## 3. One network collapses

    A network has *collapsed* if it gives one answer to almost every image. Its loss is then the class-prior
    loss: the loss of a guess that knows only how frequent each digit is.
    """)


@app.cell
def _(networks):
    scores = pd.read_csv(METRICS / "tables" / "scores.csv").set_index("network").loc[list(networks)]
    collapsed = scores.index[scores["status"] == "collapsed"].tolist()
    scores[
        ["accuracy", "accuracy_low", "accuracy_high", "loss", "status", "answer", "answer_share"]
    ]
    return collapsed, scores


@app.cell(hide_code=True)
def _(collapsed, scores):
    mo.md(
        "\n\n".join(
            f"**{_name}** answers {scores.answer[_name]} to {scores.answer_share[_name]:.2%} of the images."
            for _name in collapsed
        )
    )


@app.cell(hide_code=True)
def _():
    mo.md("""
    Why? Each dropout sets a share of the values to zero. Here every dropout rate of a network is multiplied by
    the same scale, and several trainings start at each scale. Left: the share of the variance before the head
    that still comes from the image. Right: how many trainings learned. Too little signal, and nothing is learned.
    """)


@app.cell
def _(networks):
    studies = {
        name: read_result(
            METRICS / "studies" / "collapse" / f"{name}.json",
            Collapse,
            f"dvc repro collapse@{name}",
        )
        for name in networks
    }
    signal, (_left, _right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for (_name, _study), _color in zip(studies.items(), COLORS, strict=False):
        _scales = [point.scale for point in _study.points]
        _signals = [point.signal["head_dense"] for point in _study.points]
        _learned = [point.learned / len(point.runs) for point in _study.points]
        _left.plot(_scales, _signals, "o-", color=_color, label=_name)
        _right.plot(_scales, _learned, "o-", color=_color)
    _left.set(yscale="log", xlabel="dropout scale", ylabel="share of signal")
    _right.set(xlabel="dropout scale", ylabel="share that learned", ylim=(-0.05, 1.05))
    _left.legend()
    signal


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## 4. Is a deeper network better?

    Two accuracies always differ a little. Both networks saw the same test images, so only images count that one
    of the two classifies correctly and the other does not. McNemar's exact test asks whether a fair coin could
    have distributed them. Choose two networks and a seed: does the verdict hold for other seeds?
    """)


@app.cell
def _(networks):
    seeds = [str(number) for number in range(1, 6)]
    first = mo.ui.dropdown(list(networks), value=next(iter(networks)), label="First")
    second = mo.ui.dropdown(list(networks), value=list(networks)[1], label="second")
    seed = mo.ui.dropdown(seeds, value=seeds[0], label="seed")
    mo.hstack([first, second, seed], justify="start")
    return first, second, seed


@app.cell
def _(first, second, seed):
    def mistakes_of(name):
        path = METRICS / "recipe" / "recipe" / name / f"{seed.value}.mistakes.csv"
        return set(pd.read_csv(path)["index"])

    shown = SPLIT_SIZES["test"]
    wrong_first, wrong_second = mistakes_of(first.value), mistakes_of(second.value)
    only_first, only_second = len(wrong_second - wrong_first), len(wrong_first - wrong_second)
    accuracies = [1 - len(wrong) / shown for wrong in (wrong_first, wrong_second)]
    mo.md(f"""
    | | |
    |---|--:|
    | accuracy of {first.value} | {accuracies[0]:.2%} |
    | accuracy of {second.value} | {accuracies[1]:.2%} |
    | images that only {first.value} classifies correctly | {only_first} |
    | images that only {second.value} classifies correctly | {only_second} |
    | p of McNemar's exact test | {short_p(mcnemar(only_first, only_second))} |
    """)
    return (accuracies,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    All seeds of all networks, by the notebook's recipe beside tuned settings:
    """)


@app.cell
def _():
    mo.image(METRICS / "studies" / "figures" / "accuracy_by_seed.png")


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## 5. Train small networks

    The shallowest network, the deepest, and the deepest without dropout learn from few images. The cell runs the
    commands of the pipeline: `convdepth normalize`, `train` and `evaluate`. Which of the three collapses, and why?
    """)


@app.cell
def _():
    images, epochs = 6000, 2
    return epochs, images


@app.cell
def _():
    switch = mo.ui.switch(label="Train")
    switch
    return (switch,)


@app.cell
def _(switch):
    trains = switch.value
    return (trains,)


@app.cell
def _(epochs, images, networks, trains):
    def convdepth(*words):
        command = [Path(sys.executable).with_name("convdepth"), *words]
        subprocess.run(command, cwd=folder, check=True)

    def train(name):
        inputs = ["--normalized=normalized", f"--model={name}.keras", f"--history={name}.csv"]
        convdepth("train", name, *inputs, "--checkpoints=checkpoints")
        outputs = [f"--notebook={PROJECT / 'data' / 'notebook.json'}", f"--metrics={name}.json"]
        outputs += ["--scores=scores.json", "--predictions=predictions.csv"]
        convdepth("evaluate", name, *inputs, *outputs)
        return pd.read_json(folder / f"{name}.json", typ="series")

    mo.stop(not trains, mo.md("The switch is off: nothing is trained."))
    ordered = sorted(networks, key=lambda name: len(networks[name].blocks))
    params = YAML().load(PROJECT / "params.yaml")
    own = params["architectures"]
    params["architectures"] = {
        "shallow": own[ordered[0]],
        "deep": own[ordered[-1]],
        "deep_without_dropout": {**own[ordered[-1]], "dropout_scale": 0.0},
    }
    params["normalize"]["max_images"] = images
    params["train"]["epochs"] = epochs
    with tempfile.TemporaryDirectory() as _name:
        folder = Path(_name)
        YAML().dump(params, folder / "params.yaml")
        convdepth("normalize", f"--raw={RAW}", "--normalized=normalized")
        trained = pd.DataFrame({name: train(name) for name in params["architectures"]}).T
    trained[["accuracy", "loss", "status"]]
    return (trained,)


if __name__ == "__main__":
    app.run()
