"""Ordinary photographs: a folder whose pixels are more than is kept in memory, and how one is cut."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as TF

from cifar_cnn.data import ImageSet, SaveError, fit_square, load_data, subset
from tests.support.photos import load, make_photos
from tests.support.processes import in_fresh_process


def test_cut_as_torchvision_does():
    "Resize to 256, then the middle 224: the same picture, but for rounding and sampling."
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (12, 16, 3), generator=generator, dtype=torch.uint8)
    for size in ((500, 375), (375, 500), (640, 480)):
        photo = Image.fromarray(coarse.numpy()).resize(size, Image.Resampling.BICUBIC)
        theirs = TF.center_crop(TF.resize(photo, 256), 224)
        ours = fit_square(photo, 224, 0.875)
        difference = np.abs(np.asarray(ours, dtype=int) - np.asarray(theirs, dtype=int))
        assert np.median(difference) <= 2 and difference.mean() < 4


def test_pixels_are_not_kept_in_memory(tmp_path):
    make_photos(tmp_path / "photos", 2600)
    measured, _ = in_fresh_process(load, tmp_path / "photos", tmp_path / "cache", 224)
    assert measured["images"] == 2600
    grown = measured["private_gigabytes_peak"] - measured["private_gigabytes_before"]
    assert measured["gigabytes_of_pixels"] > 0.36 and grown < 0.26  # the small parts are in memory
    assert len(list((tmp_path / "cache" / "cache").glob("[!.]*"))) == 2, "selections leave no file"


def test_a_full_disk_is_one_sentence(tmp_path):
    images = ImageSet(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4).long(), ("a",))
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(SaveError, match="choose another"):
        subset(images, torch.tensor([0]), blocked / "inside", in_memory=0)


def test_a_cache_with_lost_or_foreign_files_is_made_again(tmp_path):
    make_photos(tmp_path / "photos", 40, distinct=40)
    first = load_data(tmp_path / "photos", root=tmp_path, image_size=16)
    (pixels,) = (tmp_path / "cache").glob("*.pixels")
    pixels.unlink()
    (tmp_path / "cache" / f"{pixels.name[:-7]}0.pixels").write_bytes(b"of an older listing")
    again = load_data(tmp_path / "photos", root=tmp_path, image_size=16)
    assert again.fingerprint() == first.fingerprint() and pixels.exists()


def test_truncated_pixels_are_noticed(tmp_path):
    make_photos(tmp_path / "photos", 40, distinct=40)
    first = load_data(tmp_path / "photos", root=tmp_path, image_size=16)
    (pixels,) = (tmp_path / "cache").glob("*.pixels")
    whole = pixels.read_bytes()
    pixels.write_bytes(whole[:1000])
    assert load_data(tmp_path / "photos", root=tmp_path, image_size=16).fingerprint() == first.fingerprint()
    assert pixels.read_bytes() == whole
