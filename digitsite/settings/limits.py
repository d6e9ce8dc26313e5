"""Limits on uploads, request bodies, request rates and daily quotas."""

from digitsite import env

# Limits of memory, threads and waiting requests are for all web processes together (services/lib/process_share.py).
WEB_PROCESSES: int = env.read("WEB_PROCESSES")

# --- Images ------------------------------------------------------------------------------------------------------

MAX_UPLOAD_BYTES: int = env.read("MAX_UPLOAD_BYTES")
MAX_UPLOAD_PIXELS: int = env.read("MAX_UPLOAD_PIXELS")
# Longer side of a stored image, in pixels.
MAX_STORED_IMAGE_SIDE: int = env.read("MAX_STORED_IMAGE_SIDE")
# Memory for all images that are being decoded at the same time. A file of 100 KB may need a gigabyte; a file that needs
# more than this limit is rejected.
DECODE_MEGABYTES: int = env.read("DECODE_MEGABYTES")

# --- Request bodies ----------------------------------------------------------------------------------------------

# Allows for the multipart envelope around the largest file, and for a data URL, which is a third longer.
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_UPLOAD_BYTES * 4 // 3 + 65_536
# Without JavaScript the Upload page sends several images in one form; no other page accepts images.
UPLOAD_FORM_MAX_SIZE = 10 * MAX_UPLOAD_BYTES + 65_536
# Larger files are stored in temporary files: a form may contain a hundred of them.
FILE_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
# Time until the first bytes of a body must have arrived; every BODY_MIN_RATE further bytes extend it by a second.
BODY_TIMEOUT_SECONDS: float = env.read("BODY_TIMEOUT_SECONDS")
BODY_MIN_RATE: int = env.read("BODY_MIN_RATE")
# Total size of the temporary files, in the data directory, for large bodies.
BODY_DISK_MEGABYTES: int = env.read("BODY_DISK_MEGABYTES")

# --- Rates and quotas --------------------------------------------------------------------------------------------

ANONYMOUS_SUBMISSIONS: bool = env.read("ANONYMOUS_SUBMISSIONS")
# Requests per minute of one address, of one signed-in account, and of one account's tokens; 0: unlimited. Sized for a
# class of thirty behind one address. Requests from this machine are not counted.
READS_PER_MINUTE: tuple[int, ...] = env.read("READS_PER_MINUTE")
SUBMISSIONS_PER_MINUTE: tuple[int, ...] = env.read("SUBMISSIONS_PER_MINUTE")
PREVIEWS_PER_MINUTE: tuple[int, ...] = env.read("PREVIEWS_PER_MINUTE")
CHANGES_PER_MINUTE: tuple[int, ...] = env.read("CHANGES_PER_MINUTE")
# Stored per day by one address and by one account; operators are not limited.
SUBMISSIONS_PER_DAY: tuple[int, ...] = env.read("SUBMISSIONS_PER_DAY")
MEGABYTES_PER_DAY: tuple[int, ...] = env.read("MEGABYTES_PER_DAY")
