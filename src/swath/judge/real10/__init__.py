"""real10: ten real tasks with fixed splits, five baselines, encoders, and one number: the mean rank.

See docs/real10.md. The encoders stand in ``encoders.py``, which imports the networks.
"""

from __future__ import annotations

from swath.judge.real10.ask import chosen, miniature, nothing_measured, record
from swath.judge.real10.contenders import (
    BASELINES,
    ENCODERS,
    Contender,
    Model,
    RowLearner,
    boosting,
    forest,
    linear_head,
)
from swath.judge.real10.page import page, rank_table, scores_table, suite_ranks
from swath.judge.real10.ranks import MeanRank, mean_ranks
from swath.judge.real10.run import Measured, Plan, run
from swath.judge.real10.samples import Inputs, Samples, Target
from swath.judge.real10.suite import TASKS, Task, load, root_of

__all__ = [
    "BASELINES",
    "ENCODERS",
    "TASKS",
    "Contender",
    "Inputs",
    "MeanRank",
    "Measured",
    "Model",
    "Plan",
    "RowLearner",
    "Samples",
    "Target",
    "Task",
    "boosting",
    "chosen",
    "forest",
    "linear_head",
    "load",
    "mean_ranks",
    "miniature",
    "nothing_measured",
    "page",
    "rank_table",
    "record",
    "root_of",
    "run",
    "scores_table",
    "suite_ranks",
]
