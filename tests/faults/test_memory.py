"""A device whose memory does not suffice: the batch halves itself, the result stays, and it is said."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from restorer.errors import RestorerError
from restorer.restoration import batches
from restorer.restoration.job import restore_file
from restorer.restoration.settings import BWE
from restorer.restoration.stream import RestoringStream
from restorer.restoration.task import BandwidthExtension
from tests.shell import record
from tests.tiny import WhitePrior

TASK, QUICK = BandwidthExtension(1000.0), replace(BWE, n_steps=2)


class Small:
    """An engine on a device that holds so many windows."""

    def __init__(self, monkeypatch, room, error=None):
        self.sizes = []
        restore = batches.restore_windows

        def restored(rows, *rest):
            self.sizes.append(len(rows))
            if len(rows) > room:
                raise error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return restore(rows, *rest)

        monkeypatch.setattr(batches, "restore_windows", restored)


def gathered(sound, batch_size):
    """What a stream makes of it that gathers windows into batches, as it does for a GPU."""
    engine = batches.OwnEngine(WhitePrior(), batch_size)
    engine.room = batch_size
    stream = RestoringStream(TASK, WhitePrior(), QUICK, 8000, 2, batch_size=batch_size, engine=engine)
    return np.concatenate([stream.push(sound), stream.finish()]), stream.notes


@pytest.mark.parametrize("room", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED")]
)
def test_the_batch_halves_until_it_fits_and_the_result_is_the_same(monkeypatch, room, error):
    sound = 0.1 * np.random.default_rng(0).standard_normal((20000, 2))
    whole, notes = gathered(sound, 8)
    assert notes == ()
    engine = Small(monkeypatch, room, error)
    halved, notes = gathered(sound, 8)
    np.testing.assert_array_equal(halved, whole)  # on a CPU, where windows go one by one
    fits = max(size for size in engine.sizes if size <= room)
    assert engine.sizes[0] == 8
    assert max(engine.sizes[engine.sizes.index(fits) :]) == fits  # what did not fit is not tried again
    assert len(notes) == 1
    assert f"too small for more than {fits} windows at once" in notes[0]


def test_where_one_window_does_not_fit_it_is_said_and_nothing_is_left(monkeypatch, tmp_path):
    Small(monkeypatch, 0)
    record(tmp_path / "in.wav")
    with pytest.raises(RestorerError, match=r"too little memory for one window; .* --device cpu"):
        restore_file(tmp_path / "in.wav", tmp_path / "out.wav", TASK, WhitePrior(), QUICK)
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


def test_other_failures_of_the_engine_are_not_hidden(monkeypatch, tmp_path):
    Small(monkeypatch, 0, RuntimeError("shapes do not match"))
    record(tmp_path / "in.wav")
    with pytest.raises(RuntimeError, match="shapes"):
        restore_file(tmp_path / "in.wav", tmp_path / "out.wav", TASK, WhitePrior(), QUICK)
