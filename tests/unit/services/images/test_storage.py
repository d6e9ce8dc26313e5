"""What is kept of a picture that somebody sent, and when it goes again."""

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recognizer.services.images import orphaned_files
from recognizer.services.images import storage as images_storage
from recognizer.services.lib.errors import BusyError
from recognizer.services.lib.storage_errors import StorageError, StorageFullError
from recognizer.storage import DurableFileStorage
from tests.factories import make_submission
from tests.image_samples import digit, encoded, photo, png

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media"), pytest.mark.sqlite_only]


def decoded(data: bytes, caller: str = "a") -> images_storage.DecodedImage:
    return images_storage.decode(images_storage.open_upload(data), caller=caller)


def kept(data: bytes) -> images_storage.EncodedImage:
    return images_storage.encode(decoded(data).pixels)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def age(path: Path, by: timedelta) -> None:
    then = time.time() - by.total_seconds()
    os.utime(path, (then, then))


def test_a_drawing_is_kept_without_loss_and_in_grey():
    sent = digit(280, "RGB")
    picture = kept(png(sent))
    assert picture.content_type == "image/png"
    assert np.array_equal(picture.pixels, np.asarray(sent.convert("L")))


def test_a_photograph_is_kept_as_a_jpeg_of_at_most_1024_pixels():
    picture = kept(encoded(photo(), "JPEG"))
    assert picture.content_type == "image/jpeg"
    assert (picture.width, picture.height) == (1024, 768)
    assert len(picture.data) < 1_000_000


def test_a_large_drawing_stays_a_png():
    assert kept(png(digit(900))).content_type == "image/png"


def test_transparency_survives():
    image = Image.new("LA", (64, 64), (0, 0))
    image.paste((0, 255), (20, 10, 26, 50))
    assert np.array_equal(kept(png(image)).pixels, np.asarray(image))


def test_metadata_does_not_survive():
    exif = Image.Exif()
    exif[0x010E] = "my home address"
    for data in (encoded(photo(), "JPEG", exif=exif), png(digit(), exif=exif)):
        assert b"my home address" in data
        assert b"my home address" not in kept(data).data


def test_what_preprocessing_sees_is_what_the_kept_file_holds(visitor):
    for data in (encoded(photo(), "JPEG"), png(digit(40, "RGBA"))):
        picture = kept(data)
        images_storage.write(picture)
        submission = make_submission(visitor, picture=picture.name)
        assert np.array_equal(np.asarray(images_storage.open_stored(submission)), picture.pixels)


def test_the_size_as_sent_is_known_although_a_photo_is_decoded_smaller_and_turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = decoded(encoded(photo(2400, 1800), "JPEG", exif=exif))
    assert picture.upload_size == (1800, 2400)
    assert picture.pixels.shape[:2] == (1024, 768)


def test_equal_pictures_share_one_file_under_the_hash_of_its_bytes(media):
    first, second = kept(png(digit())), kept(png(digit(mode="RGB")))
    images_storage.write(first)
    images_storage.write(second)
    assert files(media) == [first.name] == [second.name]
    assert first.name == f"pictures/{first.sha256[:2]}/{first.sha256}.png"
    assert (media / first.name).read_bytes() == first.data


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, StorageFullError), (errno.EROFS, StorageError), (errno.EBADF, OSError)]
)
def test_a_write_that_fails_leaves_nothing_behind(number, error, media, monkeypatch):
    def fail(descriptor: int) -> None:
        raise OSError(number, "it cannot be written")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error):
        images_storage.write(kept(png(digit())))
    assert files(media) == []


def test_a_file_that_a_row_names_is_not_discarded(visitor, media):
    picture = kept(png(digit()))
    images_storage.write(picture)
    submission = make_submission(visitor, picture=picture.name)
    assert not orphaned_files.discard(picture.name)
    submission.delete()
    assert orphaned_files.discard(picture.name)
    assert files(media) == []
    assert not orphaned_files.discard(picture.name)


def test_a_picture_sent_again_while_its_file_is_being_discarded_keeps_its_file(visitor, media, monkeypatch):
    picture = kept(png(digit()))
    images_storage.write(picture)
    delete = DurableFileStorage.delete

    def delete_while_somebody_commits(storage: DurableFileStorage, name: str) -> None:
        make_submission(visitor, picture=name)
        delete(storage, name)

    monkeypatch.setattr(DurableFileStorage, "delete", delete_while_somebody_commits)
    assert not orphaned_files.discard(picture.name)
    assert (media / picture.name).read_bytes() == picture.data


def test_the_sweep_takes_old_orphans_and_drafts_and_nothing_else(visitor, media):
    named, orphan, young = (kept(png(digit(seed=seed))) for seed in range(3))
    for picture in (named, orphan, young):
        images_storage.write(picture)
    make_submission(visitor, picture=named.name)
    draft = media / f"{orphan.name}.0badcafe.draft"
    draft.write_bytes(b"half")
    for path in (media / named.name, media / orphan.name, draft):
        age(path, orphaned_files.ORPHAN_AGE * 2)
    assert orphaned_files.delete_orphans() == 2
    assert files(media) == sorted([named.name, young.name])


def test_the_sweep_of_an_empty_site_finds_nothing():
    assert orphaned_files.delete_orphans() == 0


LARGE = png(Image.new("1", (3000, 3000)))


def test_large_pictures_share_the_memory_that_decoding_may_take(settings, monkeypatch):
    monkeypatch.setattr(images_storage, "DECODE_WAIT_SECONDS", 0.05)
    with images_storage._decoding_slot(settings.DECODE_MEGABYTES * 1_000_000 - 8_000_000, "b"):
        with pytest.raises(BusyError):
            decoded(LARGE)
        assert decoded(png(digit())).pixels.shape == (28, 28)
    assert decoded(LARGE).pixels.shape == (1024, 1024)


def test_what_was_made_to_take_long_is_no_little_picture():
    drawing = png(digit(280))
    assert images_storage.is_cheap_to_decode(images_storage.open_upload(drawing))
    in_many_scans = encoded(photo(400, 400), "JPEG", progressive=True)
    in_many_pieces = drawing + bytes(images_storage.CHEAP_FILE_BYTES)
    for long in (png(photo(1000, 800)), in_many_scans, in_many_pieces):
        assert not images_storage.is_cheap_to_decode(images_storage.open_upload(long))


def test_who_waits_for_memory_goes_on_as_soon_as_there_is_some(settings):
    with ThreadPoolExecutor() as pool:
        with images_storage._decoding_slot(settings.DECODE_MEGABYTES * 1_000_000, "b"):
            waiting = pool.submit(decoded, LARGE)
            with pytest.raises(TimeoutError):
                waiting.result(0.1)
        assert waiting.result(10).pixels.shape == (1024, 1024)


def test_whoever_fills_the_decoder_has_its_own_pictures_refused_and_not_those_of_others():
    """At 07961fc every slot was taken by whoever came first, and the others were told to come back."""
    slots = images_storage._decoding
    tickets = [slots.enter("greedy") for _ in range(slots.max_waiting)]
    heavy = [slots.enter("greedy", weight=slots.capacity // 2) for _ in range(2 * slots.max_waiting)]
    try:
        started = time.monotonic()
        with pytest.raises(BusyError):
            decoded(LARGE, caller="greedy")
        assert time.monotonic() - started < images_storage.DECODE_WAIT_SECONDS / 4
        assert decoded(LARGE, caller="honest").pixels.shape == (1024, 1024)
    finally:
        for ticket in (*tickets, *heavy):
            slots.leave(ticket)
    assert decoded(LARGE, caller="greedy").pixels.shape == (1024, 1024)
