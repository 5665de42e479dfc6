"""One printed number = one result row."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from swath.errors import ContractError

DataKind = Literal["real", "hybrid", "simulated", "fixture"]


@dataclass(frozen=True)
class ResultRow:
    """A number with all that is needed to know what it is. Fractions, not percent.

    The columns and their order are the tidy table that all tables, figures and pages are rendered from. The columns up
    to ``class_name`` describe the number and form its key.
    """

    run_id: str
    system: str
    recipe: str | None = None
    recipe_version: str | None = None
    dataset: str | None = None
    dataset_hash: str | None = None
    data_kind: DataKind = "real"
    split: str | None = None
    protocol: str | None = None
    fold: str | None = None
    group: str | None = None
    corruption: str | None = None
    severity: int | None = None
    modality_deployed: str | None = None
    bands: str | None = None
    label_fraction: float | None = None
    k_shot: int | None = None
    backbone: str | None = None
    head: str | None = None
    adaptation: str | None = None
    seed: int | None = None
    n_train: int | None = None
    n_test: int | None = None
    metric: str = ""
    variant: str | None = None
    class_name: str | None = None
    value: float = float("nan")
    higher_is_better: bool | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    params_total: int | None = None
    params_trainable: int | None = None
    macs: int | None = None
    latency_ms: float | None = None
    device: str | None = None
    precision: str | None = None
    wall_s: float | None = None
    config_hash: str | None = None
    code_version: str | None = None
    severity_set: str | None = None
    normaliser_version: str | None = None
    note: str | None = None

    def key(self) -> tuple[Any, ...]:
        """The columns that identify the number."""
        return tuple(getattr(self, name) for name in KEY)

    def as_dict(self) -> dict[str, Any]:
        """Column name to value, in table order."""
        return asdict(self)

    def check(self) -> None:
        """Raise a plain sentence when the row cannot be right.

        Raises:
            ContractError: the metric has no name, a fraction is written as percent, or the interval is upside down.
        """
        if not self.metric:
            raise ContractError("A result row has no metric", expected="a metric name", remedy="set 'metric'")
        if self.metric in FRACTIONS and self.value > 1.0 + 1e-9:  # rounding may end a hair above 1
            raise ContractError(
                f"The metric '{self.metric}' of system '{self.system}' is {self.value}",
                expected="a fraction between 0 and 1",
                remedy="divide by 100; percent appears only in rendering",
            )
        if self.ci_low is not None and self.ci_high is not None and self.ci_low > self.ci_high:
            raise ContractError(
                f"The interval of '{self.metric}' of system '{self.system}' runs from {self.ci_low} to {self.ci_high}",
                expected="the lower end first",
                remedy="swap ci_low and ci_high",
            )


COLUMNS = tuple(field.name for field in fields(ResultRow))
KEY = COLUMNS[: COLUMNS.index("class_name") + 1]
FRACTIONS = frozenset(
    [
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "iou",
        "miou",
        "ap",
        "auroc",
        "f1_binary",
        "picp",
        "kappa",
        "ece_cls",
    ]
)
