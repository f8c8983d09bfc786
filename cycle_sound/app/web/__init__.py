"""A web page to try the models: sounds to pictures, pictures, drawings and films to sounds, the cycle.

Gradio serves it, and it loads nothing from other servers. `page` puts the tabs side by side, each a file of `tabs`; in
each a `button` sets the models to work for a visitor who, as `sessions` knows, waits. `server` serves it behind
`gate`, which says which requests come in; `uploads` keeps the files that they bring, and `reading` alone reads these:
no component of gradio decodes anything.
"""

import os

from cycle_sound.app.web import uploads

# Gradio reads both when it is imported, which the modules of this package do after this one.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # else it would report its use
os.environ["GRADIO_TEMP_DIR"] = str(uploads.FOLDER)  # else a folder that all programs of the machine share
