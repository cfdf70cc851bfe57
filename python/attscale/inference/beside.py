"""Reading and writing beside computing: a thread reads what is next while Caffe computes, one writes what was before.

pycaffe holds Python's lock while a net runs, and lets go of it where layers are in Python, and between passes. Reading
files, digests and above all the compression of score maps do not need it.
"""

import concurrent.futures


def ahead(items):
    """Yields `items`, each fetched by a thread while the one before is in use. Raises what they raise, in its place."""
    items, end = iter(items), object()
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item


class Behind:
    """A thread that does what it is given, in order: `with Behind() as behind: behind.call(write, ...)`.

    One call is under way at most: what it raised is raised by the next `call`, or at the end of the with statement.
    Where that is left by another exception, the call that is under way still comes to its end.
    """

    def __init__(self):
        self._thread, self._last = concurrent.futures.ThreadPoolExecutor(1), None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self._thread.shutdown()
        if kind is None:
            self._wait()

    def call(self, function, *arguments):
        """Waits for the call before, and has the thread call function(*arguments)."""
        self._wait()
        self._last = self._thread.submit(function, *arguments)

    def _wait(self):
        if self._last is not None:
            self._last.result()
