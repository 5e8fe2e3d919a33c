"""The curve of a training: what it reads, where it breaks, what it refuses."""

from pathlib import Path

import pytest
import training_curve

SHIPPED = Path(__file__).parents[1] / "weights" / "piano-44k.csv"


def test_the_shipped_log_ends_where_the_shipped_weights_do():
    from restorer.prior import read_card

    log, facts = training_curve.read_log(SHIPPED), read_card("piano-44k").facts
    assert log["step"][-1] == facts["steps"]
    assert log["minutes"][-1] == pytest.approx(60 * facts["hours"])
    for level, loss in facts["validation_loss"].items():
        assert log[f"validation_{level}"][-1] == pytest.approx(loss)


@pytest.mark.parametrize("changes", [[], [0.5], [2, 1], [0, 9]])
def test_stretches_are_all_rows_in_order(changes):
    minutes = [0.0, 1.0, 2.0, 3.0]
    parts = training_curve.stretches(minutes, changes)
    assert [minute for rows in parts for minute in minutes[rows]] == minutes
    for rows in parts:
        assert len({sum(minute > change for change in changes) for minute in minutes[rows]}) == 1


def test_the_picture_stands_beside_the_log(tmp_path):
    pytest.importorskip("matplotlib")
    log = tmp_path / "run.csv"
    log.write_bytes(SHIPPED.read_bytes())
    assert training_curve.main([str(log), "--change", "40", "214"]) == 0
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("content", [None, "", "a,b\n1,2\n", "step,minutes\n"])
def test_refuses_what_is_no_log(tmp_path, capsys, content):
    log = tmp_path / "run.csv"
    if content is not None:
        log.write_text(content)
    assert training_curve.main([str(log)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not log.with_suffix(".png").exists()
