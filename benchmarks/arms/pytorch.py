"""The same networks in PyTorch, trained as its MNIST example does, with all data in memory."""

import argparse
import json
from collections.abc import Callable, Iterable

import numpy as np
import torch
from protocol import serve
from torch import nn

BATCH_SIZE = 128
EVALUATION_BATCH_SIZE = 1000


def main() -> None:
    """Build the network and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=json.loads, required=True)
    parser.add_argument("--normalized", required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--fused", action="store_true", help="use the fused Adam")
    parser.add_argument("--compile", metavar="MODE", help="of torch.compile; default: eager")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device, bfloat16 = arguments.device, arguments.precision == "bfloat16"
    train = read(arguments.normalized, "train", arguments.images, device)
    test = read(arguments.normalized, "test", arguments.images // 6, device)
    network = build(arguments.layers).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=0.001, eps=1e-7, fused=arguments.fused or None
    )

    def judge(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            logits = network(images)
        correct = (logits.argmax(1) == labels).sum()
        return nn.functional.cross_entropy(logits.float(), labels), correct

    if arguments.compile:
        judge = torch.compile(judge, mode=arguments.compile, dynamic=False)

    def unit() -> int:
        network.train()
        order = torch.randperm(len(train[0]), device=device)
        run(judge, order.split(BATCH_SIZE), *train, optimizer)
        network.eval()
        with torch.no_grad():
            run(judge, torch.arange(len(test[0])).split(EVALUATION_BATCH_SIZE), *test)
        return len(train[0])

    serve(unit)


def read(folder: str, split: str, count: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Read images, channels first in shape and last in memory, and labels."""
    images = np.load(f"{folder}/{split}_images.npy")[:count]
    labels = np.load(f"{folder}/{split}_labels.npy")[:count]
    tensor = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
    labels_there = torch.from_numpy(labels).long().to(device)
    return tensor.contiguous(memory_format=torch.channels_last), labels_there


def build(entries: list[dict]) -> nn.Sequential:
    """Build a network from its layers; the last one gives logits."""
    modules: list[nn.Module] = []
    for entry in entries:
        match entry["kind"]:
            case "convolution":
                size, padding = entry["kernel_size"], entry["padding"]
                modules += [nn.LazyConv2d(entry["filters"], size, padding=padding), nn.ReLU()]
            case "pooling":
                modules.append(nn.MaxPool2d(entry["pool_size"]))
            case "dropout":
                modules.append(nn.Dropout(entry["rate"]))
            case "flatten":
                modules.append(nn.Flatten())
            case "dense":
                modules.append(nn.LazyLinear(entry["units"]))
                if entry["activation"] == "relu":
                    modules.append(nn.ReLU())
    network = nn.Sequential(*modules)
    network(torch.zeros(1, 1, 28, 28))
    return network


def run(
    judge: Callable[..., tuple[torch.Tensor, torch.Tensor]],
    batches: Iterable[torch.Tensor],
    images: torch.Tensor,
    labels: torch.Tensor,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Pass once over the batches, with training steps if there is an optimizer.

    Loss and accuracy are summed, as Keras does. They are read once, so that a GPU never waits.
    """
    sums = torch.zeros(2, device=images.device)
    for rows in batches:
        loss, correct = judge(images[rows], labels[rows])
        if optimizer:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        sums[0] += loss.detach() * len(rows)
        sums[1] += correct
    sums.tolist()


if __name__ == "__main__":
    main()
