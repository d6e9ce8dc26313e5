"""Image storage: the stored form of an upload, and removal of orphaned files."""

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.core.files.storage import default_storage
from PIL import Image

from recognizer.services.images import orphaned_files
from recognizer.services.images import storage as images_storage
from recognizer.services.lib.errors import BusyError
from recognizer.services.lib.units import MEGABYTE
from recognizer.storage import DurableFileStorage
from tests.factories import make_submission
from tests.image_samples import digit, encoded, photo, png

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media"), pytest.mark.sqlite_only]


def decode(data: bytes, caller: str = "a") -> tuple[images_storage.Pixels, images_storage.Size]:
    return images_storage.decode(images_storage.open_upload(data), caller=caller)


def write(image: images_storage.EncodedImage) -> str:
    return default_storage.save_unsynced(image.name, image.data)


def encode(data: bytes) -> images_storage.EncodedImage:
    return images_storage.encode(decode(data)[0])


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def age(path: Path, by: timedelta) -> None:
    then = time.time() - by.total_seconds()
    os.utime(path, (then, then))


def test_drawing_is_stored_losslessly_and_in_grey():
    drawing = digit(280, "RGB")
    image = encode(png(drawing))
    assert image.content_type == "image/png"
    assert np.array_equal(image.pixels, np.asarray(drawing.convert("L")))


def test_photograph_is_stored_as_jpeg_of_at_most_1024_pixels():
    image = encode(encoded(photo(), "JPEG"))
    assert image.content_type == "image/jpeg"
    assert (image.width, image.height) == (1024, 768)
    assert len(image.data) < 1_000_000


def test_large_drawing_is_stored_as_png():
    assert encode(png(digit(900))).content_type == "image/png"


def test_transparency_is_preserved():
    image = Image.new("LA", (64, 64), (0, 0))
    image.paste((0, 255), (20, 10, 26, 50))
    assert np.array_equal(encode(png(image)).pixels, np.asarray(image))


def test_metadata_is_removed():
    exif = Image.Exif()
    exif[0x010E] = "my home address"
    for data in (encoded(photo(), "JPEG", exif=exif), png(digit(), exif=exif)):
        assert b"my home address" in data
        assert b"my home address" not in encode(data).data


def test_preprocessing_gets_the_pixels_of_the_stored_file(visitor):
    for data in (encoded(photo(), "JPEG"), png(digit(40, "RGBA"))):
        image = encode(data)
        write(image)
        submission = make_submission(visitor, picture=image.name)
        assert np.array_equal(np.asarray(images_storage.open_stored(submission)), image.pixels)


def test_upload_size_is_known_although_the_photo_is_reduced_and_rotated():
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels, upload_size = decode(encoded(photo(2400, 1800), "JPEG", exif=exif))
    assert upload_size == (1800, 2400)
    assert pixels.shape[:2] == (1024, 768)


def test_equal_images_share_one_file_named_by_the_hash_of_its_bytes(media):
    first, second = encode(png(digit())), encode(png(digit(mode="RGB")))
    write(first)
    write(second)
    assert files(media) == [first.name] == [second.name]
    assert first.name == f"pictures/{first.sha256[:2]}/{first.sha256}.png"
    assert (media / first.name).read_bytes() == first.data


def test_failed_write_leaves_no_file(media, monkeypatch):
    def fail(_temporary: str, _target: str) -> None:
        raise OSError(errno.ENOSPC, "it cannot be written")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="cannot be written"):
        write(encode(png(digit())))
    assert files(media) == []


def test_file_of_a_submission_is_not_discarded(visitor, media):
    image = encode(png(digit()))
    write(image)
    submission = make_submission(visitor, picture=image.name)
    assert not orphaned_files.discard(image.name)
    submission.delete()
    assert orphaned_files.discard(image.name)
    assert files(media) == []
    assert not orphaned_files.discard(image.name)


def test_image_sent_again_while_its_file_is_discarded_keeps_the_file(visitor, media, monkeypatch):
    image = encode(png(digit()))
    write(image)
    delete = DurableFileStorage.delete

    def delete_during_a_commit(storage: DurableFileStorage, name: str) -> None:
        make_submission(visitor, picture=name)
        delete(storage, name)

    monkeypatch.setattr(DurableFileStorage, "delete", delete_during_a_commit)
    assert not orphaned_files.discard(image.name)
    assert (media / image.name).read_bytes() == image.data


def test_cleanup_deletes_only_old_orphans_and_temporary_files(visitor, media):
    referenced, orphan, young = (encode(png(digit(seed=seed))) for seed in range(3))
    for image in (referenced, orphan, young):
        write(image)
    make_submission(visitor, picture=referenced.name)
    temporary = media / f"{orphan.name}.0badcafe.draft"
    temporary.write_bytes(b"half")
    for path in (media / referenced.name, media / orphan.name, temporary):
        age(path, orphaned_files.ORPHAN_AGE * 2)
    assert orphaned_files.delete_orphans() == 2
    assert files(media) == sorted([referenced.name, young.name])


def test_cleanup_of_an_empty_site_deletes_nothing():
    assert orphaned_files.delete_orphans() == 0


LARGE = png(Image.new("1", (3000, 3000)))


def test_large_images_share_the_decoding_memory(settings, monkeypatch):
    monkeypatch.setattr(images_storage, "DECODE_WAIT_SECONDS", 0.05)
    with images_storage._decoding_slot(settings.DECODE_MEGABYTES * MEGABYTE - 8_000_000, "b"):
        with pytest.raises(BusyError):
            decode(LARGE)
        assert decode(png(digit()))[0].shape == (28, 28)
    assert decode(LARGE)[0].shape == (1024, 1024)


def test_image_that_takes_long_to_decode_is_not_cheap():
    drawing = png(digit(280))
    assert images_storage.is_cheap_to_decode(images_storage.open_upload(drawing))
    many_scans = encoded(photo(400, 400), "JPEG", progressive=True)
    padded = drawing + bytes(images_storage.CHEAP_FILE_BYTES)
    for data in (png(photo(1000, 800)), many_scans, padded):
        assert not images_storage.is_cheap_to_decode(images_storage.open_upload(data))


def test_waiting_decode_continues_as_soon_as_memory_is_free(settings):
    with ThreadPoolExecutor() as pool:
        with images_storage._decoding_slot(settings.DECODE_MEGABYTES * MEGABYTE, "b"):
            waiting = pool.submit(decode, LARGE)
            with pytest.raises(TimeoutError):
                waiting.result(0.1)
        assert waiting.result(10)[0].shape == (1024, 1024)


def test_caller_that_fills_the_decoder_is_rejected_and_others_are_not():
    """At 07961fc slots were granted in FIFO order, so one caller could use all of them."""
    slots = images_storage._decoding
    tickets = [slots.enter("greedy") for _ in range(slots.max_waiting)]
    heavy = [slots.enter("greedy", weight=slots.capacity // 2) for _ in range(2 * slots.max_waiting)]
    try:
        started = time.monotonic()
        with pytest.raises(BusyError):
            decode(LARGE, caller="greedy")
        assert time.monotonic() - started < images_storage.DECODE_WAIT_SECONDS / 4
        assert decode(LARGE, caller="honest")[0].shape == (1024, 1024)
    finally:
        for ticket in (*tickets, *heavy):
            slots.leave(ticket)
    assert decode(LARGE, caller="greedy")[0].shape == (1024, 1024)


def test_image_that_exceeds_the_share_of_a_web_process_is_decoded(monkeypatch):
    monkeypatch.setattr(images_storage._decoding, "capacity", 1_000_000)
    assert decode(LARGE)[0].shape == (1024, 1024)
