"""What happened: every connection, request, tunnel end, key push, and every broken rule."""

import json
import threading
import time

LIMIT = 20000


class Journal:
    """Thread-safe, bounded; optionally mirrored to a file, one JSON object a line."""

    def __init__(self, path=None):
        self.lock = threading.Lock()
        self.started = time.monotonic()
        self.entries = []
        self.broken = []
        self.bugs = []
        self.count = 0
        self.file = open(path, "w", encoding="utf-8") if path else None

    def add(self, kind, **fields):
        with self.lock:
            self.count += 1
            entry = {"n": self.count, "t": round(time.monotonic() - self.started, 4),
                     "kind": kind, **fields}
            self.entries.append(entry)
            del self.entries[:-LIMIT]
            if self.file:
                self.file.write(json.dumps(entry) + "\n")
                self.file.flush()
            return entry

    def violation(self, rule, detail, **fields):
        """Records a rule the client broke; these decide the exit status of `sim run --strict`."""
        entry = self.add("violation", rule=rule, detail=detail, **fields)
        with self.lock:
            self.broken.append(entry)
            del self.broken[:-LIMIT]

    def bug(self, text):
        """The simulator itself failed; kept apart from what the client did, and never cleared."""
        self.add("bug", text=text)
        self.bugs.append(text)

    def select(self, since=0, **wanted):
        """Entries newer than `since` whose fields equal `wanted` (compared as text)."""
        with self.lock:
            entries = [e for e in self.entries if e["n"] > since]
        return [e for e in entries
                if all(str(e.get(k)) == str(v) for k, v in wanted.items())]

    def violations(self):
        with self.lock:
            return list(self.broken)

    def clear(self):
        with self.lock:
            self.entries.clear()
            self.broken.clear()

    def close(self):
        with self.lock:
            if self.file:
                self.file.close()
                self.file = None
