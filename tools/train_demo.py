"""Trains the network that `whit demo` compresses, and writes it with its data into python/whit/demo.

    pip install torch scikit-learn onnx && python tools/train_demo.py

Data: Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak; UCI Machine Learning Repository, 1998,
doi.org/10.24432/C50P49, CC BY 4.0), the 1797 images of 8 x 8 pixels with values 0 to 16 that scikit-learn ships.
The first 1197 images train the network (with shifts and noise), the last 600 test it. Calibration images come from the
training part. Seeded; takes about a minute.
"""

from __future__ import annotations

import pathlib

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

OUT = pathlib.Path(__file__).resolve().parent.parent / "python" / "whit" / "demo"
TRAIN = 1197
EPOCHS = 60


class Block(nn.Module):
    """Expand, depthwise, project, add: the block of the MobileNets, small."""

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.body = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class DigitsNet(nn.Sequential):
    """8 x 8 pixels in, 10 classes out; 50,658 parameters."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 24, 3, padding=1, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            Block(24, 4),
            nn.Conv2d(24, 48, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(48),
            nn.ReLU(),
            Block(48, 4),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(48 * 4, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )


def augmented(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shifts by up to one pixel and adds noise."""
    dy, dx = torch.randint(-1, 2, (2,), generator=generator).tolist()
    shifted = torch.roll(images, (dy, dx), (2, 3))
    return shifted + 0.3 * torch.randn(images.shape, generator=generator)


def main() -> None:
    torch.manual_seed(1)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(2)
    digits = load_digits()
    images = digits.images.astype(np.float32)[:, None]
    labels = digits.target.astype(np.uint8)
    x = torch.from_numpy(images[:TRAIN])
    y = torch.from_numpy(labels[:TRAIN].astype(np.int64))

    net = DigitsNet()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        net.train()
        order = torch.randperm(TRAIN, generator=generator)
        for batch in order.split(64):
            loss = functional.cross_entropy(net(augmented(x[batch], generator)), y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    net.eval()
    with torch.no_grad():
        right = (net(torch.from_numpy(images[TRAIN:])).argmax(1).numpy() == labels[TRAIN:]).mean()
    print(f"{sum(p.numel() for p in net.parameters())} parameters, {100 * right:.2f} % of {len(images) - TRAIN} right")

    OUT.mkdir(exist_ok=True)
    torch.onnx.export(
        net,
        (torch.zeros(1, 1, 8, 8),),
        str(OUT / "digits.onnx"),
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
        opset_version=17,
        dynamo=False,
    )
    np.savez_compressed(
        OUT / "digits.npz",
        calibration_images=images[: TRAIN : TRAIN // 100].astype(np.uint8),
        test_images=images[TRAIN:].astype(np.uint8),
        test_labels=labels[TRAIN:],
    )


if __name__ == "__main__":
    main()
