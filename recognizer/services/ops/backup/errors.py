"""What goes wrong with a backup."""


class BackupError(RuntimeError):
    """It cannot be made, or cannot be put back; the message says why and what to do. Nothing was changed."""
