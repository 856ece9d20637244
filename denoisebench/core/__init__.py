"""What every room stands on: errors, files, signals, limits, progress, provenance. Knows nothing of denoising."""
