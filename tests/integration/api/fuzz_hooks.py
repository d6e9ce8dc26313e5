"""What schemathesis cannot know of the API by its document. It loads this file: see schemathesis.toml beside it."""

import schemathesis
from hypothesis import strategies

# Cursors come from the lists themselves; of those that somebody makes up only the empty one means something. Others
# are tried all the same, as what must be refused.
schemathesis.openapi.format("cursor", strategies.just(""))
