"""Frechet audio distance: the laws of the distance, and the network that stands behind it."""

import tracemalloc

import numpy as np
import pytest

from restorer.errors import UsageError, WeightsError
from restorer.metrics.fad import embed, frechet_distance
from restorer.metrics.tf_checkpoint import read_checkpoint


def cloud(n, d, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize("shape", [(50, 4), (5, 20)])  # more patches than dimensions, and fewer
def test_equal_sets_are_at_no_distance_whatever_their_order(shape):
    x = cloud(*shape)
    # Rounding of float64, of a trace of about shape[1].
    assert frechet_distance(x, x[::-1]) < 1e-12 * shape[1] * 10


def test_a_set_that_moved_is_at_the_square_of_the_way():
    x = cloud(30, 6)
    assert frechet_distance(x, x + 2) == pytest.approx(6 * 4, rel=1e-12)


def test_it_is_symmetric_and_does_not_see_a_rotation_of_both():
    x, y = cloud(40, 5), cloud(12, 5, seed=1, scale=3) + 1
    turn, _ = np.linalg.qr(cloud(5, 5, seed=2))
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-10)
    assert frechet_distance(x @ turn, y @ turn) == pytest.approx(frechet_distance(x, y), rel=1e-10)


def test_one_dimension_is_the_formula():
    # |m1 - m2|^2 + (s1 - s2)^2 for Gaussians on a line
    x, y = cloud(100, 1), cloud(80, 1, seed=1, scale=3) + 1
    expected = (x.mean() - y.mean()) ** 2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-10)


def test_it_is_the_formula_with_the_root_of_a_matrix():
    from scipy.linalg import sqrtm

    x, y = cloud(60, 4), cloud(70, 4, seed=1) @ cloud(4, 4, seed=2)
    c1, c2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    moved = np.sum((x.mean(0) - y.mean(0)) ** 2)
    expected = moved + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("patches", [(60, 70), (6, 70), (6, 5), (2, 2)])  # of 20 dimensions
def test_it_is_the_formula_with_singular_values_of_all_patches(patches):
    x, y = cloud(patches[0], 20), cloud(patches[1], 20, seed=1, scale=2) + 1
    a, b = ((each - each.mean(0)) / np.sqrt(len(each) - 1) for each in (x, y))
    moved = np.sum((x.mean(0) - y.mean(0)) ** 2)
    expected = moved + np.sum(a**2) + np.sum(b**2) - 2 * np.linalg.norm(a @ b.T, ord="nuc")
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-10)


def test_its_memory_grows_with_the_patches_not_with_their_square():
    x = cloud(2000, 2)
    tracemalloc.start()
    frechet_distance(x, x + 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * x.nbytes  # patches by patches: 1000 times


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (cloud(1, 4), cloud(9, 4), "two or more patches"),
        (cloud(9, 3), cloud(9, 4), "same dimensions"),
        (cloud(9, 3) * np.nan, cloud(9, 3), "not all finite"),
    ],
)
def test_what_has_no_distance_is_refused(x, y, message):
    with pytest.raises(UsageError, match=message):
        frechet_distance(x, y)


def varint(n):
    return bytes([n & 127 | 128]) + varint(n >> 7) if n > 127 else bytes([n])


def field(number, payload):
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def block(*entries):
    written, last = b"", b""
    for key, value in entries:
        shared = next((i for i, (a, b) in enumerate(zip(last, key, strict=False)) if a != b), min(len(last), len(key)))
        written += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return written + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")


def test_a_checkpoint_is_read_as_it_was_written(tmp_path):
    kernel, bias = np.arange(300, dtype="<f4").reshape(3, 100), np.array([7, 8], "<f4")
    (tmp_path / "data").write_bytes(kernel.tobytes() + bias.tobytes())

    def entry(array, offset):
        shape = b"".join(field(2, field(1, size)) for size in array.shape)
        return field(1, 1) + field(2, shape) + field(4, offset) + field(5, array.nbytes) + varint(6 << 3 | 5) + b"crc_"

    step = field(1, 9) + field(2, b"") + field(5, 8)  # an int64: no weight
    data = block(
        (b"", field(1, 1)), (b"conv/bias", entry(bias, 1200)), (b"conv/kernel", entry(kernel, 0)), (b"step", step)
    )
    index = block((b"z", varint(0) + varint(len(data))))
    footer = varint(0) + varint(0) + varint(len(data)) + varint(len(index))
    magic = bytes.fromhex("57fb808b247547db")
    (tmp_path / "index").write_bytes(data + index + footer.ljust(40, b"\0") + magic)
    arrays = read_checkpoint(tmp_path / "index", tmp_path / "data")
    assert arrays.keys() == {"conv/bias", "conv/kernel"}
    np.testing.assert_array_equal(arrays["conv/kernel"], kernel)
    np.testing.assert_array_equal(arrays["conv/bias"], bias)


def test_another_file_is_no_checkpoint(tmp_path):
    (tmp_path / "x").write_bytes(b"x" * 100)
    with pytest.raises(WeightsError, match="no index"):
        read_checkpoint(tmp_path / "x", tmp_path / "x")


def decaying_chords(rate, seconds):
    """Struck strings: harmonics that decay, a chord every half second."""
    time = np.arange(round(seconds * rate)) / rate
    sound = np.zeros(time.size)
    for start in np.arange(0, seconds, 0.5):
        since = np.maximum(time - start, 0)
        for pitch in (48, 60, 64, 67):
            f = 440 * 2 ** ((pitch - 69) / 12)
            for h in range(1, 8):
                sound += (time >= start) * np.exp(-(2 + h) * since) * np.sin(2 * np.pi * f * h * since) / h**1.5
    return 0.05 * sound


def test_musicnn_knows_noise_from_notes():
    musicnn = pytest.importorskip("musicnn")
    from restorer.metrics.musicnn import hear

    notes, noise = decaying_chords(16000, 4), 0.1 * np.random.default_rng(0).standard_normal(64000)
    heard = hear(notes, 16000)
    assert heard.penultimate.shape == (2, 200)
    labels = _labels(musicnn)
    named = [labels[i] for i in heard.tags.mean(0).argsort(descending=True)[:5]]
    assert "piano" in named  # of 50 tags
    assert "piano" not in [labels[i] for i in hear(noise, 16000).tags.mean(0).argsort(descending=True)[:5]]
    assert frechet_distance(embed(notes, 16000), embed(notes * 0.9, 16000)) < frechet_distance(
        embed(notes, 16000), embed(noise, 16000)
    )


def _labels(package):
    from importlib import import_module

    return import_module(f"{package.__name__}.configuration").MTT_LABELS


def test_what_has_no_embeddings_is_refused():
    pytest.importorskip("musicnn")
    with pytest.raises(UsageError, match="at least 3 s"):
        embed(np.zeros(16000), 16000)
    with pytest.raises(UsageError, match="full scale is 1"):  # as integers of 16 bits
        embed(3000 * cloud(4 * 16000, 1)[:, 0], 16000)
