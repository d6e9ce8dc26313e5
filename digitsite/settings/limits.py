"""Limits on uploads, request bodies, request rates and daily quotas."""

from digitsite import env

# --- Images ------------------------------------------------------------------------------------------------------

MAX_UPLOAD_BYTES = env.integer("MAX_UPLOAD_BYTES", 10 * 1024 * 1024, minimum=1024, maximum=200 * 1024 * 1024)
MAX_UPLOAD_PIXELS = env.integer("MAX_UPLOAD_PIXELS", 50_000_000, minimum=784, maximum=500_000_000)
# Longer side of a stored image, in pixels.
MAX_STORED_IMAGE_SIDE = env.integer("MAX_STORED_IMAGE_SIDE", 1024, minimum=280, maximum=8192)
# Memory for all images that are being decoded at the same time. A file of 100 KB may need a gigabyte; a file that needs
# more than this limit is rejected.
DECODE_MEGABYTES = env.integer("DECODE_MEGABYTES", 120, minimum=16, maximum=4000)

# --- Request bodies ----------------------------------------------------------------------------------------------

# Allows for the multipart envelope around the largest file, and for a data URL, which is a third longer.
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_UPLOAD_BYTES * 4 // 3 + 65_536
# Without JavaScript the Upload page sends several images in one form; no other page accepts images.
UPLOAD_FORM_MAX_SIZE = 10 * MAX_UPLOAD_BYTES + 65_536
# Larger files are stored in temporary files: a form may contain a hundred of them.
FILE_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
# Time until the first bytes of a body must have arrived; every BODY_MIN_RATE further bytes extend it by a second.
BODY_TIMEOUT_SECONDS = env.number("BODY_TIMEOUT_SECONDS", 20, minimum=1, maximum=600)
BODY_MIN_RATE = env.integer("BODY_MIN_RATE", 500, minimum=1, maximum=1_000_000)
# Total size of the temporary files, in the data directory, for large bodies.
BODY_DISK_MEGABYTES = env.integer("BODY_DISK_MEGABYTES", 512, minimum=16, maximum=1_000_000)

# --- Rates and quotas --------------------------------------------------------------------------------------------

ANONYMOUS_SUBMISSIONS = env.boolean("ANONYMOUS_SUBMISSIONS", True)
# Requests per minute of one address, of one signed-in account, and of one account's tokens; 0: unlimited. Sized for a
# class of thirty behind one address. Requests from this machine are not counted.
READS_PER_MINUTE = env.limits("READS_PER_MINUTE", (6000, 6000, 6000))
SUBMISSIONS_PER_MINUTE = env.limits("SUBMISSIONS_PER_MINUTE", (600, 600, 3000))
PREVIEWS_PER_MINUTE = env.limits("PREVIEWS_PER_MINUTE", (3000, 1200, 3000))
CHANGES_PER_MINUTE = env.limits("CHANGES_PER_MINUTE", (600, 1200, 3000))
# Stored per day by one address and by one account; operators are not limited.
SUBMISSIONS_PER_DAY = env.limits("SUBMISSIONS_PER_DAY", (5000, 20_000))
MEGABYTES_PER_DAY = env.limits("MEGABYTES_PER_DAY", (500, 2000))
