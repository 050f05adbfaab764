"""Odd pictures: each is made here with pillow, and read as upright 8-bit RGB or refused by name."""

import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spml_annotate.embed.decode import decode
from spml_annotate.embed.pictures import ArrayPictures, FilePictures
from spml_annotate.errors import DataError

RED_LEFT = np.zeros((8, 16, 3), np.uint8)
RED_LEFT[:, :8, 0] = 255
RED_LEFT[:, 8:, 2] = 255


def read(image, path, **options):
    image.save(path, **options)
    return np.asarray(decode(path))


# Tag value → how the picture lies in the file when it is red on the left once upright.
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("tag", TURNS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_orientation_tag_is_obeyed(tag, suffix, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = tag
    stored = Image.fromarray(np.ascontiguousarray(TURNS[tag](RED_LEFT)))
    upright = read(stored, tmp_path / f"a.{suffix}", exif=exif, quality=100)
    assert upright.shape == RED_LEFT.shape
    assert np.abs(upright[:, [1, -2]].astype(int) - RED_LEFT[:, [1, -2]]).max() < 60  # lossy formats


def test_cmyk(tmp_path):
    cmyk = np.zeros((8, 8, 4), np.uint8)
    cmyk[..., 1:3] = 255  # magenta and yellow make red
    out = read(Image.frombytes("CMYK", (8, 8), cmyk.tobytes()), tmp_path / "a.jpg")
    assert out.shape == (8, 8, 3)
    assert out[4, 4, 0] > 200
    assert out[4, 4, 1:].max() < 60


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_bilevel(mode, tmp_path):
    grey = Image.fromarray(np.full((4, 4), 255, np.uint8)).convert(mode)
    assert (read(grey, tmp_path / "a.png") == 255).all()


def test_palette(tmp_path):
    out = read(Image.fromarray(RED_LEFT).convert("P", palette=Image.Palette.ADAPTIVE), tmp_path / "a.png")
    assert np.array_equal(out, RED_LEFT)


def test_palette_with_transparent_bytes_is_laid_on_white(tmp_path):
    palette = Image.fromarray(RED_LEFT).convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    red = palette.getpixel((0, 0))
    alpha = bytes(0 if index == red else 255 for index in range(2))
    out = read(palette, tmp_path / "a.png", transparency=alpha)
    assert (out[:, :8] == 255).all()
    assert (out[:, 8:] == (0, 0, 255)).all()


def test_alpha_is_laid_on_white(tmp_path):
    over = np.dstack([RED_LEFT, np.full(RED_LEFT.shape[:2], 255, np.uint8)])
    over[:4, :, 3] = 0
    over[4:, 8:, 3] = 128
    out = read(Image.fromarray(over), tmp_path / "a.png")
    assert (out[:4] == 255).all()
    assert (out[4:, :8] == (255, 0, 0)).all()
    assert np.abs(out[4:, 8:].astype(int) - (127, 127, 255)).max() <= 1


def test_grey_with_alpha(tmp_path):
    over = np.dstack([np.zeros((4, 4), np.uint8), np.full((4, 4), 0, np.uint8)])
    assert (read(Image.fromarray(over), tmp_path / "a.png") == 255).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_not_clipped(suffix, tmp_path):
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    out = read(Image.fromarray(deep), tmp_path / f"a.{suffix}")
    assert out[0, :, 0].tolist() == [0, 1, 128, 255]
    assert (out[..., 0] == out[..., 2]).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 200.0]], np.float32), [0, 100, 200]),
        (np.array([[0.0, np.nan, 1.0]], np.float32), [0, 0, 255]),
        (np.array([[0, 65535, -5]], np.int32), [0, 255, 0]),
        (np.array([[0, 500_000, 1_000_000]], np.int32), [0, 128, 255]),
    ],
)
def test_deeper_modes(values, expected, tmp_path):
    assert read(Image.fromarray(values), tmp_path / "a.tif")[0, :, 0].tolist() == expected


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    out = read(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (out == (255, 0, 0)).all()


def _truncated(path):
    whole = path.with_suffix(".whole.jpg")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(whole)
    path.write_bytes(whole.read_bytes()[:900])


def _huge(path):
    """A PNG whose header promises 50000 x 50000 pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


BROKEN = {
    "missing": (lambda path: None, "no such file"),
    "empty": (lambda path: path.write_bytes(b""), "not a picture"),
    "text": (lambda path: path.write_text("hello"), "not a picture"),
    "truncated": (_truncated, "cannot be read"),
    "folder": (lambda path: path.mkdir(), "cannot be read"),
    "huge": (_huge, "too large to be safe"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_unreadable_is_a_data_error_that_names_the_file(case, tmp_path):
    make, message = BROKEN[case]
    path = tmp_path / "odd one.jpg"
    make(path)
    with pytest.raises(DataError, match=message) as caught:
        FilePictures([path]).read(0)
    assert "odd one.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_between_warning_and_refusal_a_large_picture_is_read_silently(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read(Image.new("RGB", (12, 12)), tmp_path / "a.png").shape == (12, 12, 3)
    Image.new("RGB", (20, 20)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match="too large"):
        decode(tmp_path / "b.png")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_give_a_picture_or_a_data_error(data, tmp_path_factory):
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"]))
    path = tmp_path_factory.mktemp("damaged") / f"a.{kind.lower()}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RED_LEFT).save(path, kind, **({"exif": exif} if kind in {"JPEG", "PNG", "WEBP"} else {}))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    try:
        outcome = decode(path).mode
    except DataError as error:
        outcome = str(error)
    assert outcome == "RGB" or outcome.startswith(f"{path}: ")


def test_warning_filters_are_as_before_after_decoding_in_threads(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(RED_LEFT).save(path)
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decode(path) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_arrays_are_read_as_they_are():
    pictures = ArrayPictures(RED_LEFT[None])
    assert len(pictures) == 1
    assert np.array_equal(np.asarray(pictures.read(0)), RED_LEFT)


@pytest.mark.parametrize("array", [np.zeros((2, 4, 4, 3), np.float32), np.zeros((4, 4, 3), np.uint8)])
def test_arrays_of_another_kind_are_refused(array):
    with pytest.raises(DataError, match="uint8 array"):
        ArrayPictures(array)
