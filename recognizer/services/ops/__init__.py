"""Operations: health, status, metrics, liveness of workers, consistency checks, disk usage, backup."""
