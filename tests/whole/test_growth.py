"""The benchmark of growth: what is measured of a point, ratios within a turn, and the document with its picture."""

from pathlib import Path

import pytest

from benchmarks import growth


@pytest.mark.parametrize("name", growth.SERIES)
def test_a_point_is_measured_beside_river(name: str) -> None:
    """The smallest and the largest but one of each series, on a few events."""
    series = growth.SERIES[name]
    small, large = (growth.cost(series.point(size), measured=40) for size in (series.sizes[0], series.sizes[-2]))
    for each in (small, large):
        assert 0 < each.river_us < each.ours_us
        assert each.checkpoint_ms > 0
    assert large.checkpoint_kb > 0.9 * small.checkpoint_kb


def test_each_partition_has_a_lane_only_where_lanes_grow() -> None:
    """Otherwise both series would be of one model."""
    scopes = {growth.settings_of(growth.SERIES[name].point(4)).scope for name in ("partitions", "lanes")}
    assert scopes == {"global", "partition"}


def test_how_many_times_is_taken_within_a_turn() -> None:
    """A turn on a machine that does other work is slower as a whole."""
    calm, busy = ({n: growth.Cost(n * of, of, 1.0, 1.0) for n in (1, 4)} for of in (10.0, 30.0))
    assert growth.times([calm, busy], 4, lambda each: each.ours_us) == (4.0, 4.0, 4.0)


def test_the_document_has_a_table_for_each_series_and_its_picture(tmp_path: Path) -> None:
    """Each point is in the table; the picture names what is drawn."""
    found = {
        name: [{n: growth.Cost(10.0 * n, 5.0 * n, 2.0 * n, 40.0) for n in series.sizes}]
        for name, series in growth.SERIES.items()
    }
    growth.draw(found, tmp_path / "growth.svg")
    text = growth.document(found, words=[], picture="growth.svg")
    assert text.count("| times the first") == len(growth.SERIES)
    assert "| 64 | 640 | 64.00 [64.00, 64.00] | 320 | 64.00 | 128.0 | 40 |" in text
    assert "Anabranch" in (tmp_path / "growth.svg").read_text()
