"""Image data: MNIST, synthetic digits, simulated photos, outliers, augmentation, and a disk cache for them."""
