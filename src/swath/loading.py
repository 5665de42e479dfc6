"""Models by the folder that training wrote, or published encoders by their name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from swath.errors import ConfigError, nearest

if TYPE_CHECKING:
    from swath.embed import FeatureHead
    from swath.learn import ModelTask, SegmentationTask
    from swath.models import PublishedEncoder
    from swath.predict.export import OnnxPredictor

PathLike = Path | str
Device = Literal["auto", "cpu", "cuda"]
_HEAD = "head.json"


@overload
def load(model: Path, *, device: Device = "cpu") -> SegmentationTask | ModelTask | FeatureHead | OnnxPredictor: ...
@overload
def load(
    model: str, path: PathLike | None = None, *, device: Device = "cpu"
) -> SegmentationTask | ModelTask | FeatureHead | OnnxPredictor | PublishedEncoder: ...
def load(
    model: PathLike, path: PathLike | None = None, *, device: Device = "cpu"
) -> SegmentationTask | ModelTask | FeatureHead | OnnxPredictor | PublishedEncoder:
    """Load a trained model from its folder, an exported one (``.onnx``), or a published encoder by its name.

    The weights of an encoder are fetched where they are absent, and a table tells what was loaded.

    Args:
        model: the folder of a run (its best model is taken, else its last), or of one model in it; or a name. A folder
            that is called like an encoder is meant where it comes as a path or with its place: ``./presto``.
        path: for a name: the file of the weights or its folder.
        device: where the model of a run computes; ``auto`` takes a graphics card if there is one. Batches may lie
            anywhere, and predictions come back to where the batch lies. All other models compute on the processor.

    Raises:
        InputError: there is no checkpoint, or it is damaged, newer than this version, or not the published file.
        MissingError: the weights of an encoder are nowhere and cannot be fetched.
        ConfigError: a path was given, and the model is no encoder; or ``cuda``, and the model is not one of a run.
        ResourceError: ``cuda``, and there is no card.
    """
    from swath import learn, models, weights

    if device == "cuda":
        _check_runs_on_card(model, encoder=isinstance(model, str) and weights.is_name(model))
    if isinstance(model, str) and weights.is_name(model):
        return models.load(model, path, say=print)
    if path is not None:
        raise ConfigError(
            f"'{model}' is not the name of an encoder, and a path was given",
            expected=f"one of {', '.join(weights.names())} with path=, or the folder of a trained model alone",
            remedy=f"the nearest names are: {nearest(str(model), weights.names())}",
        )
    if Path(model).suffix == ".onnx":
        from swath.predict.export import OnnxPredictor

        return OnnxPredictor(model)
    if (Path(model) / _HEAD).is_file():
        from swath import embed

        return embed.load_head(Path(model))
    task = learn.load_checkpoint(model_folder(Path(model)))
    task.to(learn.choose_device(learn.FitConfig(device=device))[0])
    return task


def _check_runs_on_card(model: PathLike, *, encoder: bool) -> None:
    """Refuse what computes on the processor alone."""
    if encoder or Path(model).suffix == ".onnx" or (Path(model) / _HEAD).is_file():
        raise ConfigError(
            f"'{model}' was to compute on a graphics card",
            expected="the folder of a trained model; exported models, published encoders and heads use the processor",
            remedy="leave the device out, or set it to auto",
        )


def model_folder(path: Path) -> Path:
    """The best model of a run, else its last, else the folder itself."""
    from swath import learn

    return next((path / name for name in (learn.BEST, learn.LAST) if (path / name).is_dir()), path)
