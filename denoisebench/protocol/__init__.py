"""What a number means: images, noise, draws, seeds and metrics. Equal protocols make rows comparable."""
