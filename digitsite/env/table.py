"""The table of all settings."""

import os
from dataclasses import dataclass

from . import kinds
from .kinds import Kind, integer, limits, number

CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Setting:
    """A setting in an environment variable.

    Attributes:
        name: Name of the variable.
        kind: Parses and validates its text.
        default: Text that is used if the variable is not set.
        text: One line for the settings reference.
        default_text: Description of a default that is computed.
        old_name: Deprecated name, which works until release 2.0.
    """

    name: str
    kind: Kind
    default: str
    text: str
    default_text: str = ""
    old_name: str = ""


SECTIONS: dict[str, tuple[Setting, ...]] = {
    "Server": (
        Setting(
            "HOST",
            kinds.TEXT,
            "127.0.0.1",
            "Address, or name of this machine, to listen on. `0.0.0.0` makes the site reachable from the network.",
        ),
        Setting("PORT", integer(0, 65535), "8000", "TCP port to listen on. 0: any free port."),
        Setting("DATA_DIR", kinds.TEXT, "data", "Directory of the database, images, secret key and embedded Redis."),
        Setting("SITE_NAME", kinds.TEXT, "Digits", "Name shown on the pages."),
        Setting(
            "DATABASE_URL",
            kinds.DATABASE_URL,
            "",
            "`postgres://user:password@host/name` or `sqlite:////path/file`.",
            default_text="SQLite in `DATA_DIR`",
        ),
        Setting(
            "REDIS_URL",
            kinds.TEXT,
            "",
            "`redis://host:6379`, `rediss://:password@host:6379` (with `?ssl_ca_certs=/path/ca.pem` for a private CA) "
            "or `unix:///path`. Redis 7 or Valkey.",
            default_text="embedded Valkey",
        ),
        Setting("REDIS_TIMEOUT", number(0.1, 60), "2.0", "Timeout of Redis commands in seconds."),
        Setting("LOG_LEVEL", kinds.choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "Minimum level of log lines."),
        Setting(
            "LOG_FORMAT",
            kinds.choice("text", "json"),
            "text",
            "`json`: one JSON object per line. `make run` puts the name of the process before it.",
        ),
        Setting(
            "METRICS_TOKEN",
            kinds.secret(16, is_ascii=True),
            "",
            "Bearer token for `/metrics`. Without it, only clients on this machine may read them, and no client behind "
            "a proxy.",
        ),
        Setting("DEBUG", kinds.BOOLEAN, "0", "Django's debug pages. Rejected unless only this machine can connect."),
    ),
    "Hosts, HTTPS and proxies": (
        Setting(
            "ALLOWED_HOSTS",
            kinds.HOSTS,
            "localhost,127.0.0.1,[::1]",
            "Names under which the site is reached. `make run` adds the names of this machine.",
        ),
        Setting(
            "SECRET_KEY",
            kinds.secret(50),  # required by Django's check security.W009
            "",
            "Signs cookies and links, and names the cookies. All hosts of one site share it; each site has its own.",
            default_text="created in `DATA_DIR`",
        ),
        Setting(
            "HTTPS",
            kinds.BOOLEAN,
            "0",
            "1 if a proxy serves the site with a certificate: secure cookies, redirects, HSTS. Must be set, to 0 or 1, "
            "if `ALLOWED_HOSTS` has a public name.",
        ),
        Setting(
            "HSTS_SECONDS",
            integer(),
            "",
            "How long browsers insist on HTTPS.",
            default_text="a year with `HTTPS=1`, otherwise 0",
        ),
        Setting("HSTS_INCLUDE_SUBDOMAINS", kinds.BOOLEAN, "0", "Applies HSTS to all hosts below this one."),
        Setting(
            "HSTS_PRELOAD",
            kinds.BOOLEAN,
            "0",
            "Consents to the preload list of browsers (hstspreload.org), which takes months to leave. Requires the two "
            "settings above.",
        ),
        Setting(
            "BEHIND_PROXY",
            kinds.BOOLEAN,
            "0",
            "Takes the client's address and scheme from the proxy's `X-Forwarded-For` and `X-Forwarded-Proto`.",
        ),
        Setting(
            "TRUSTED_PROXIES",
            integer(1, 20),
            "1",
            "Number of proxies that append to `X-Forwarded-For`: the client is the entry at this position from the "
            "right.",
        ),
        Setting(
            "CSRF_TRUSTED_ORIGINS",
            kinds.origins(wildcard=rf"https?://\*\.(?:{kinds.HOST})(?::[0-9]+)?"),
            "",
            "Origins such as `https://digits.example.com`, for a proxy that changes the host.",
        ),
        Setting(
            "CORS_ORIGINS",
            kinds.origins(wildcard=r"\*"),
            "",
            "Origins whose pages may use the API, with a token or anonymously, never with cookies. `*`: all.",
        ),
    ),
    "Web processes and limits": (
        Setting(
            "WEB_PROCESSES",
            integer(1, 64),
            str(1 if CORES <= 3 else min(8, CORES // 2)),
            "Processes of the web server, which share one port. Each has an equal share of the limits below.",
            default_text="1 for up to 3 cores, otherwise half of the cores, at most 8",
        ),
        Setting(
            "MAX_WAITING_REQUESTS",
            integer(1, 1024),
            "48",
            "Requests that may wait for their predictions at the same time, three quarters of them of one caller. "
            "Others are asked to poll.",
        ),
        Setting("PREDICTION_WAIT_SECONDS", number(0, 30), "2", "How long a request waits for its prediction at most."),
        Setting(
            "BODY_TIMEOUT_SECONDS",
            number(1, 600),
            "20",
            "Time limit for a request body; every `BODY_MIN_RATE` bytes extend it by a second.",
        ),
        Setting(
            "BODY_MIN_RATE",
            integer(1, 1_000_000),
            "500",
            "Minimum rate of uploads and of large downloads, in bytes per second.",
        ),
        Setting(
            "BODY_DISK_MEGABYTES",
            integer(16, 1_000_000),
            "512",
            "Disk space in `DATA_DIR` for large request bodies that are being received.",
        ),
        Setting("MAX_UPLOAD_BYTES", integer(1024, 200 * 1024 * 1024), "10485760", "Maximum size of an uploaded file."),
        Setting("MAX_UPLOAD_PIXELS", integer(784, 500_000_000), "50000000", "Maximum width times height of an image."),
        Setting(
            "MAX_STORED_IMAGE_SIDE",
            integer(280, 8192),
            "1024",
            "Longer side of a stored image, in pixels.",
            old_name="MAX_KEPT_SIDE",
        ),
        Setting(
            "DECODE_MEGABYTES",
            integer(16, 4000),
            "120",
            "Memory for all images that are being decoded at the same time. An image that needs more is rejected.",
        ),
    ),
    "Rates and quotas": (
        Setting("ANONYMOUS_SUBMISSIONS", kinds.BOOLEAN, "1", "0: only signed-in users may submit images."),
        Setting(
            "READS_PER_MINUTE",
            limits("6000,6000,6000"),
            "6000,6000,6000",
            "Requests that read, or are rejected, per minute: of one address, one signed-in account, one account's "
            "tokens. 0: unlimited. Clients on this machine are not counted, unless behind a proxy.",
        ),
        Setting(
            "SUBMISSIONS_PER_MINUTE",
            limits("600,600,3000"),
            "600,600,3000",
            "The same for submissions, from pages and the API together.",
        ),
        Setting(
            "PREVIEWS_PER_MINUTE",
            limits("3000,1200,3000"),
            "3000,1200,3000",
            "The same for previews: one for each stroke on the Draw page.",
        ),
        Setting(
            "CHANGES_PER_MINUTE",
            limits("600,1200,3000"),
            "600,1200,3000",
            "The same for labels, reviews, deletions and all other changes.",
        ),
        Setting(
            "SUBMISSIONS_PER_DAY",
            limits("5000,20000"),
            "5000,20000",
            "Submissions of one address, one account per day (UTC). 0: unlimited. Operators have no limit.",
        ),
        Setting(
            "MEGABYTES_PER_DAY",
            limits("500,2000"),
            "500,2000",
            "The same in megabytes (2^20 bytes) of images, strokes, rows (about 4 KB for a submission, 0.5 KB for a "
            "label) and responses stored for `Idempotency-Key`.",
        ),
        Setting("TOKEN_DAYS", integer(1, 3650), "90", "Default lifetime of a personal token, in days."),
        Setting("TOKEN_MAX_DAYS", integer(1, 3650), "365", "Maximum lifetime of a personal token, in days."),
    ),
    "Accounts and mail": (
        Setting("SIGN_UP", kinds.BOOLEAN, "1", "Whether visitors may create accounts. 0: operators create them."),
        Setting(
            "MAX_LOGIN_ATTEMPTS",
            integer(1, 1000),
            "10",
            "Failed logins for one account from one address in 15 minutes.",
            old_name="SIGN_IN_TRIES",
        ),
        Setting(
            "EMAIL_URL",
            kinds.MAIL_URL,
            "",
            "Mail server: `smtp+tls://user:password@host:587`, `smtps://…` or `smtp://…`. Without it, operators hand "
            "out one-time links for lost passwords.",
        ),
        Setting("EMAIL_FROM", kinds.SENDER, "digits@localhost", "Sender of mail."),
        Setting(
            "SITE_URL",
            kinds.BASE_URL,
            "",
            "Scheme and host of links in mail, such as `https://digits.example.org`.",
            default_text="from `ALLOWED_HOSTS`, `HTTPS` and `PORT`",
        ),
        Setting(
            "SECURITY_CONTACT",
            kinds.CONTACT,
            "",
            "Where people report vulnerabilities, such as `mailto:security@example.org` or a page's URL; published at "
            "`/.well-known/security.txt`.",
        ),
        Setting(
            "RETENTION_DAYS",
            integer(0, 36_500),
            "0",
            "Submissions older than this are deleted with all related data. 0: never.",
        ),
    ),
    "Workers": (
        Setting(
            "INFERENCE_RUNTIME",
            kinds.choice("litert", "keras"),
            "litert",
            "`keras`: serve with Keras itself, ten times the memory.",
        ),
        Setting("PREDICTION_BATCH", integer(1, 1024), "64", "Maximum number of images in one forward pass."),
        Setting(
            "PREDICTION_CONSUMER",
            kinds.BOOLEAN,
            "1",
            "0: Celery tasks predict everything, and no request waits for its prediction.",
        ),
        Setting(
            "RECOVERY_INTERVAL_SECONDS",
            number(0.5, 3600),
            "10",
            "How often submissions without a prediction are enqueued again.",
            old_name="SWEEP_SECONDS",
        ),
        Setting(
            "LIVENESS_INTERVAL_SECONDS",
            number(1, 3600),
            "60",
            "How often each worker gets a liveness probe. A worker that does not respond is restarted.",
            old_name="CANARY_SECONDS",
        ),
        Setting("REVIEW_RANDOM_SHARE", number(0, 1), "0.15", "Share of the review queue that is sampled at random."),
    ),
    "Training": (
        Setting("TRAINER", kinds.BOOLEAN, "1", "0: no trainer on this site, for a small machine."),
        Setting(
            "RETRAIN_SCHEDULE",
            kinds.SCHEDULE,
            "daily",
            "Interval between trainings, if there are new labels.",
        ),
        Setting(
            "RETRAIN_AFTER_LABELS", integer(), "100", "Number of newly settled labels that start a training. 0: never."
        ),
        Setting("RETRAIN_TIME_LIMIT", number(1, 7 * 24 * 3600), "3600", "Time limit of a training, in seconds."),
        Setting(
            "TRAINER_SILENCE_SECONDS",
            number(5, 3600),
            "30",
            "A training without a heartbeat for this long is marked as failed.",
        ),
        Setting(
            "TRAINING_THREADS",
            integer(1, 256),
            str(max(1, CORES - 1)),
            "Threads of a training.",
            default_text="number of cores minus one",
        ),
        Setting(
            "KEEP_VERSIONS",
            integer(1),
            "10",
            "Model versions whose files are kept, in addition to those in use. Metrics of all versions are kept.",
        ),
        Setting(
            "MNIST_PATH",
            kinds.TEXT,
            "",
            "`mnist.npz`, or a directory with the IDX files, for training without internet access.",
        ),
        Setting("MNIST_CACHE", kinds.TEXT, "", "Directory of downloaded data.", default_text="`~/.cache/digits`"),
    ),
}
SETTINGS = {setting.name: setting for settings in SECTIONS.values() for setting in settings}
