"""Rates, and how far they may be scaled."""

from conftest import PROJECT
from convdepth.config.architecture import dropout_rates, may_scale
from convdepth.config.params import read_params

ARCHITECTURES = read_params(PROJECT / "params.yaml").architectures


def test_all_rates_in_order_and_none_where_there_is_no_dropout() -> None:
    assert dropout_rates(ARCHITECTURES["cnn3"]) == [0.5, 0.6, 0.5]  # none in its third block
    assert dropout_rates(ARCHITECTURES["cnn7"]) == [0.7, 0.6, 0.8, 0.5, 0.8, 0.7, 0.9, 0.7]


def test_no_scaled_rate_may_reach_one() -> None:
    assert may_scale(ARCHITECTURES["cnn7"], 1.1)
    assert not may_scale(ARCHITECTURES["cnn7"], 1.2)
    assert not may_scale(ARCHITECTURES["cnn1"], 2)
