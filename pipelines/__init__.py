"""When and with what it runs: definitions, resources, settings and the command line."""

import os

# Scores are many fits of small matrices: threads of the linear algebra wait for one another three to five times as long
# as they work, and the last digits would depend on their number. It is read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
