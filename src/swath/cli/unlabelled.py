"""``swath train`` with ``--objective mae``: learning without labels, and which options go with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from swath.errors import ConfigError, nearest

OBJECTIVES = ("mae",)


def check_options(objective: str, of_labels: Mapping[str, object]) -> None:
    """Refuse an unknown objective, and options of training with labels.

    Raises:
        ConfigError: as said.
    """
    if objective not in OBJECTIVES:
        raise ConfigError(
            f"--objective {objective}",
            expected=f"one of {', '.join(OBJECTIVES)}, or no such option for training with labels",
            remedy=f"the nearest is {nearest(objective, OBJECTIVES, 1)}",
        )
    odd = [name for name, value in of_labels.items() if value is not None]
    if odd:
        raise ConfigError(
            f"{', '.join(odd)} {'was' if len(odd) == 1 else 'were'} given with --objective, which makes its own",
            expected="--config with the options of pretraining, --epochs, --learning-rate, --batch-size or --seed",
            remedy="leave it out; the shape of the network belongs into the file of --config (model:)",
        )


def pretrain(
    source: Path, out: Path, config: Path | None, flags: tuple[int | None, float | None, int | None], seed: int
) -> None:
    """Pretrain on the chips, and tell what the encoder can be used for.

    Args:
        source: folder of the chips.
        out: folder of the run.
        config: options of pretraining.
        flags: epochs, learning rate and batch size where they were given; they beat ``config``.
        seed: of everything that is drawn.
    """
    from swath import chips, types, verbs
    from swath.cli import show
    from swath.learn.pretraining import OPTIONS, pretrain, read_pretrain_options

    verbs.check_run(out)
    options = read_pretrain_options(config)
    named = dict(zip(("epochs", "learning_rate"), flags[:2], strict=True))
    content = options.model_dump(mode="json")
    content["fit"] |= {name: value for name, value in named.items() if value is not None}
    content["batch_size"] = flags[2] or options.batch_size
    chipset = chips.open(source)
    split = types.Split.load(chipset.folder / "split.parquet")
    pretrain(chipset, split, read_pretrain_options(content), out, seed=seed)
    show.say(f"model: {out} (options: {out / OPTIONS}); train on: swath train CHIPS --out RUN --pretrained {out}")
