"""The page with its sessions, of which it knows who waits for a result: for nobody nothing is made."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import gradio as gr

TITLE = "Cycle_Sound"

Expect = Callable[[], None]  # raises gr.Error if nobody waits for the result any more


class Page(gr.Blocks):
    """A page that knows which of its sessions listen."""

    def __init__(self) -> None:
        super().__init__(title=TITLE, analytics_enabled=False)
        self.listening: Counter[str] = Counter()  # open streams of results, by session
        self.worker = ThreadPoolExecutor(1)  # for the models, which keep memory for each thread that they run in

    def expect(self, session: str, patience: float = 0.0) -> None:
        """Wait up to `patience` seconds for a session to listen. Raises gr.Error if it does not."""
        deadline = time.monotonic() + patience
        while not self.listening[session]:
            if time.monotonic() >= deadline:
                raise gr.Error("nobody waits for this", print_exception=False)
            time.sleep(0.02)
