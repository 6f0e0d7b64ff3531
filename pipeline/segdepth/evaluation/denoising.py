"""How well a network denoises: peak signal-to-noise ratio and structural similarity of every test image."""

from __future__ import annotations

import pandas as pd
import torch
from torch import nn
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from tqdm import tqdm

from segdepth.evaluation.noisy_images import NoisyImages

COLUMNS = ("structure", "defocus_nm", "psnr_db", "ssim", "noisy_psnr_db", "noisy_ssim")


@torch.inference_mode()
def measure_denoising(denoiser: nn.Module, tests: NoisyImages, dose_lambda: float) -> pd.DataFrame:
    """One row an image: ``COLUMNS``, of the denoised and of the noisy image against the clean one.

    Both measures take the range of the clean image (its largest less its smallest intensity) as the peak; the
    similarity (Wang et al., IEEE Trans. Image Process. 13 (2004) 600) is over windows with a Gaussian weight of 1.5
    pixels.

    Parameters
    ----------
    denoiser : in evaluation mode, (batch, 1, y, x) to the same shape.
    dose_lambda : λ of the noise.
    """
    where, rows = next(denoiser.parameters()).device, []
    for sample in tqdm(tests.samples(dose_lambda), total=len(tests), desc="denoising", unit="image", mininterval=0.5):
        clean, noisy = (torch.as_tensor(image)[None, None].float() for image in (sample.intensity, sample.noisy))
        denoised = denoiser(noisy.to(where)).float().cpu()
        peak = float(clean.max() - clean.min())
        values = [
            float(of(image, clean, data_range=peak))
            for image in (denoised, noisy)
            for of in (peak_signal_noise_ratio, structural_similarity_index_measure)
        ]
        rows.append(dict(zip(COLUMNS, (sample.structure, sample.defocus_nm, *values))))
    return pd.DataFrame(rows, columns=list(COLUMNS))
