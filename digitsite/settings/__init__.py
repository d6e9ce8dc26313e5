"""Django settings, read from the environment; every setting has a default that works.

One module for each subject. `digitsite.env.table` describes the environment variables.
https://docs.djangoproject.com/en/5.2/ref/settings/
"""

from .accounts import *  # noqa: F403
from .api import *  # noqa: F403
from .base import *  # noqa: F403
from .celery import *  # noqa: F403
from .database import *  # noqa: F403
from .inference import *  # noqa: F403
from .limits import *  # noqa: F403
from .logging import *  # noqa: F403
from .redis import *  # noqa: F403
from .review import *  # noqa: F403
from .security import *  # noqa: F403
from .storage import *  # noqa: F403
from .training import *  # noqa: F403
