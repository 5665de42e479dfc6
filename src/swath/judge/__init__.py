"""Judging without flattery: scores with intervals, simple contenders, the result table, claims and the report."""

from __future__ import annotations

from swath.judge.baselines import ForestOptions, MajorityClass, NearestColour, RandomForest
from swath.judge.capability import CapabilityScore, Normaliser, capability_scores, capability_table, dataset_table
from swath.judge.conditions import ledger_folder, require_ledger, same_conditions
from swath.judge.facts import check_fits, facts_of, kind_of
from swath.judge.fresh import Standing, fresh_seeds, read_fresh, standings
from swath.judge.intervals import mean_interval
from swath.judge.ledger import (
    Evidence,
    check_repository,
    claims_table,
    outcomes,
    read_evidence,
    registrations_in,
    verdict_text,
    write_evidence,
)
from swath.judge.ledger_page import write_ledger_page
from swath.judge.ledger_table import LEDGER_HEADS, SystemLedger, ledger, measured_text
from swath.judge.pictures import class_map, confusion_picture, contender_bars, map_panels, training_curve
from swath.judge.pixels import PixelFeatures, PixelSampling
from swath.judge.registration import load_registration, registration_commit, require_committed
from swath.judge.renderers import corruption_grid, degradation_curve
from swath.judge.report import write_report
from swath.judge.rerun import Rerun, RerunRecord, read_reruns, registration_of, rerun
from swath.judge.resources import Timer, environment, peak_rss_mb
from swath.judge.score import Score, compare, score, score_map
from swath.judge.sweep import sweep, unfinished
from swath.judge.table import ResultTable, contender
from swath.judge.verdict import (
    control_state,
    decide,
    decide_all,
    holm_levels,
    p_value,
    paired_differences,
    paired_table,
)

__all__ = [
    "LEDGER_HEADS",
    "CapabilityScore",
    "Evidence",
    "ForestOptions",
    "MajorityClass",
    "NearestColour",
    "Normaliser",
    "PixelFeatures",
    "PixelSampling",
    "RandomForest",
    "Rerun",
    "RerunRecord",
    "ResultTable",
    "Score",
    "Standing",
    "SystemLedger",
    "Timer",
    "capability_scores",
    "capability_table",
    "check_fits",
    "check_repository",
    "claims_table",
    "class_map",
    "compare",
    "confusion_picture",
    "contender",
    "contender_bars",
    "control_state",
    "corruption_grid",
    "dataset_table",
    "decide",
    "decide_all",
    "degradation_curve",
    "environment",
    "facts_of",
    "fresh_seeds",
    "holm_levels",
    "kind_of",
    "ledger",
    "ledger_folder",
    "load_registration",
    "map_panels",
    "mean_interval",
    "measured_text",
    "outcomes",
    "p_value",
    "paired_differences",
    "paired_table",
    "peak_rss_mb",
    "read_evidence",
    "read_fresh",
    "read_reruns",
    "registration_commit",
    "registration_of",
    "registrations_in",
    "require_committed",
    "require_ledger",
    "rerun",
    "same_conditions",
    "score",
    "score_map",
    "standings",
    "sweep",
    "training_curve",
    "unfinished",
    "verdict_text",
    "write_evidence",
    "write_ledger_page",
    "write_report",
]
