"""imagecorruptions, kornia and albumentations in their own environment: one line of JSON in, one line out.

Asked ``{"package": ..., "corruption": ..., "strength": ...}``, it corrupts the stored images and answers with
seconds of wall and processor time and the mean PSNR. Each package gets what it works on: imagecorruptions and
albumentations 8-bit images one by one, kornia a float batch. Images are loaded and converted before the clock starts.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

warnings.filterwarnings("ignore")

import albumentations as albu  # noqa: E402
import cv2  # noqa: E402
import imagecorruptions  # noqa: E402
import kornia.augmentation as kornia  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402


def of_imagecorruptions(name: str, strength: Any) -> Callable[[np.ndarray], np.ndarray]:
    """``strength`` is a severity of theirs."""
    theirs = {
        "gaussian_noise": "gaussian_noise",
        "salt_and_pepper_noise": "impulse_noise",
        "motion_blur": "motion_blur",
        "compression_artifacts": "jpeg_compression",
    }[name]
    return lambda images: np.stack(
        [imagecorruptions.corrupt(image, corruption_name=theirs, severity=strength) for image in images]
    )


def of_albumentations(name: str, strength: Any) -> Callable[[np.ndarray], np.ndarray]:
    s = strength
    changes: dict[str, Callable[[], Any]] = {
        "gaussian_noise": lambda: albu.GaussNoise(std_range=(s, s), p=1),
        "salt_and_pepper_noise": lambda: albu.SaltAndPepper(amount=(s, s), salt_vs_pepper=(0.5, 0.5), p=1),
        "gaussian_blur": lambda: albu.GaussianBlur(blur_limit=2 * int(np.ceil(3 * s)) + 1, sigma_limit=(s, s), p=1),
        "motion_blur": lambda: albu.MotionBlur(blur_limit=(s, s), allow_shifted=False, p=1),
        "brightness_contrast": lambda: albu.RandomBrightnessContrast(
            brightness_limit=(s[1] + 0.5 * (1 - s[0]),) * 2, contrast_limit=(s[0] - 1,) * 2, p=1
        ),
        "compression_artifacts": lambda: albu.ImageCompression(quality_range=(s, s), p=1),
        "rotate": lambda: albu.Affine(rotate=(s, s), p=1),
        "scale": lambda: albu.Affine(scale=(s, s), p=1),
        "translate": lambda: albu.Affine(translate_percent=(s, s), p=1),
    }
    change = changes[name]()
    return lambda images: np.stack([change(image=image)["image"] for image in images])


def of_kornia(name: str, strength: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    s = strength
    changes: dict[str, Callable[[], Any]] = {
        "gaussian_noise": lambda: kornia.RandomGaussianNoise(std=s, p=1),
        "salt_and_pepper_noise": lambda: kornia.RandomSaltAndPepperNoise(amount=s, salt_vs_pepper=0.5, p=1),
        "gaussian_blur": lambda: kornia.RandomGaussianBlur((2 * int(np.ceil(3 * s)) + 1,) * 2, (s, s), p=1),
        "motion_blur": lambda: kornia.RandomMotionBlur(s, (0.0, 180.0), 0.0, p=1),
        "compression_artifacts": lambda: kornia.RandomJPEG(jpeg_quality=(float(s), float(s)), p=1),
        "rotate": lambda: kornia.RandomAffine(degrees=(float(s), float(s)), p=1),
        "scale": lambda: kornia.RandomAffine(degrees=0.0, scale=(s, s), p=1),
    }
    return changes[name]()  # type: ignore[no-any-return]


MAKERS = {"imagecorruptions": of_imagecorruptions, "albumentations": of_albumentations, "kornia": of_kornia}


def main() -> None:
    path, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    eight = np.load(path)
    batch = torch.from_numpy(eight).permute(0, 3, 1, 2).contiguous().float() / 255
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        strength = tuple(asked["strength"]) if isinstance(asked["strength"], list) else asked["strength"]
        change = MAKERS[asked["package"]](asked["corruption"], strength)
        given: Any = batch if asked["package"] == "kornia" else eight
        began, began_cpu = time.perf_counter(), time.process_time()
        found = change(given)
        wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        values = found.permute(0, 2, 3, 1).numpy() if asked["package"] == "kornia" else found / 255.0
        error = ((np.clip(values, 0, 1) - eight / 255.0) ** 2).mean(axis=(1, 2, 3))
        print(json.dumps({"wall": wall, "cpu": cpu, "psnr": float(np.mean(-10 * np.log10(error)))}), flush=True)


if __name__ == "__main__":
    main()
