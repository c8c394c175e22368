"""The library by itself: README's example on a transformer block, trained, saved, loaded, merged.

Run it where the wheel alone is installed, outside the repository: ``python /path/to/tests/library.py``. It
needs nothing but `oft.adapters` and what that brings, and prints the interpreter, the number of packages and
the seconds that the imports took.
"""

from __future__ import annotations

import copy
import json
import platform
import re
import sys
import time
from importlib.metadata import distributions
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

started = time.perf_counter()
import torch  # noqa: E402
import torch._dynamo  # noqa: E402 (every optimizer of torch imports it, and so does `inject_oft`)
from torch import Tensor, nn  # noqa: E402

torch_seconds = time.perf_counter() - started
import oft.adapters  # noqa: E402

for public in oft.adapters.__all__:
    getattr(oft.adapters, public)
import_seconds = time.perf_counter() - started - torch_seconds

README = Path(__file__).resolve().parents[1] / "README.md"


class Attention(nn.Module):
    """Attention of one head, its layers named as diffusers names them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.to_q(tokens), self.to_k(tokens), self.to_v(tokens)
        out: Tensor = self.to_out[0](nn.functional.scaled_dot_product_attention(query, key, value))
        return out


class GEGLU(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 8 * width)

    def forward(self, tokens: Tensor) -> Tensor:
        values, gate = self.proj(tokens).chunk(2, dim=-1)
        gated: Tensor = values * nn.functional.gelu(gate)
        return gated


class FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(width), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.net(tokens)
        return out


class TransformerBlock(nn.Module):
    """The block of Stable Diffusion's UNet that OFT adapts: nine linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn1, self.attn2, self.ff = Attention(width), Attention(width), FeedForward(width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn1(tokens)
        tokens = tokens + self.attn2(tokens)
        out: Tensor = tokens + self.ff(tokens)
        return out


def readme_example() -> str:
    """Return the code that README.md shows for the adapter alone."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    return str(code)


def main() -> None:
    """Run the example and the round trip; an assertion that fails ends it."""
    torch.manual_seed(0)
    base = TransformerBlock(32)
    unet, fresh = copy.deepcopy(base), copy.deepcopy(base)
    tokens = torch.randn(2, 5, 32)
    before = base(tokens)
    with TemporaryDirectory() as folder:
        names: dict[str, Any] = {"unet": unet, "folder": Path(folder), "torch": torch}
        exec(compile(readme_example(), str(README), "exec"), names)
        adapter, optimizer = names["adapter"], names["optimizer"]
        # The identity until something is learned.
        torch.testing.assert_close(unet(tokens), before)
        for group in optimizer.param_groups:
            group["lr"] = 1e-2
        for _ in range(3):
            optimizer.zero_grad()
            (unet(tokens) ** 2).mean().backward()
            optimizer.step()
        trained = unet(tokens)
        assert not torch.allclose(trained, before, atol=1e-3), "three steps changed nothing"
        names["save_adapter"](Path(folder), adapter, base_hash="...")
        oft.adapters.load_adapter(Path(folder), fresh, base_hash="...")
    torch.testing.assert_close(fresh(tokens), trained)
    adapter.merge()
    torch.testing.assert_close(unet(tokens), trained, atol=1e-5, rtol=1e-4)
    print(
        json.dumps(
            {
                "python": platform.python_version(),
                "oft": str(Path(oft.adapters.__file__).parents[1]),
                "packages": len({each.metadata["Name"] for each in distributions()}),
                "torch_import_seconds": round(torch_seconds, 2),
                "oft_import_seconds": round(import_seconds, 2),
                "imported": sorted(
                    {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
                ),
            }
        )
    )


if __name__ == "__main__":
    main()
