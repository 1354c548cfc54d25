"""The same networks in PyTorch, eager, as its own MNIST example trains: data in memory, Adam."""

import argparse
import json

import numpy as np
import torch
from protocol import serve
from torch import nn

BATCH_SIZE = 128
EVALUATION_BATCH_SIZE = 1000


def main() -> None:
    """Build the network, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=json.loads, required=True)
    parser.add_argument("--normalized", required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    device, bfloat16 = arguments.device, arguments.precision == "bfloat16"
    train = read(arguments.normalized, "train", arguments.images, device)
    test = read(arguments.normalized, "test", arguments.images // 6, device)
    network = build(arguments.layers).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001, eps=1e-7)
    mixed = torch.autocast(device, torch.bfloat16, enabled=bfloat16)

    def unit() -> int:
        fit(network, optimizer, mixed, *train)
        evaluate(network, mixed, *test)
        return len(train[0])

    unit()
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


def fit(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    mixed: torch.autocast,
    images: torch.Tensor,
    labels: torch.Tensor,
) -> None:
    """Train one epoch in a new order; the loss and the accuracy are kept, as Keras keeps them."""
    network.train()
    sums = torch.zeros(2, device=images.device)  # read at the end: a GPU need not wait before
    for rows in torch.randperm(len(images), device=images.device).split(BATCH_SIZE):
        optimizer.zero_grad()
        with mixed:
            logits = network(images[rows])
            loss = nn.functional.cross_entropy(logits.float(), labels[rows])
        loss.backward()
        optimizer.step()
        sums[0] += loss.detach() * len(rows)
        sums[1] += (logits.argmax(1) == labels[rows]).sum()
    sums.tolist()


@torch.no_grad()
def evaluate(
    network: nn.Module, mixed: torch.autocast, images: torch.Tensor, labels: torch.Tensor
) -> None:
    """Compute loss and accuracy."""
    network.eval()
    for start in range(0, len(images), EVALUATION_BATCH_SIZE):
        part = slice(start, start + EVALUATION_BATCH_SIZE)
        with mixed:
            logits = network(images[part])
        nn.functional.cross_entropy(logits.float(), labels[part]).item()
        int((logits.argmax(1) == labels[part]).sum())


if __name__ == "__main__":
    main()
