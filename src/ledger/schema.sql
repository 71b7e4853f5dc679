-- One row per arrival. Times are nanoseconds since 1970-01-01 UTC; names and paths are raw bytes.
CREATE TABLE files (
    id              TEXT PRIMARY KEY NOT NULL,
    pipeline        TEXT NOT NULL,
    name            BLOB NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('claimed', 'staged', 'published', 'archiving', 'quarantining', 'done')),
    outcome         TEXT CHECK (outcome IN ('succeeded', 'duplicate', 'empty', 'quarantined', 'failed')),
    reason          TEXT,
    message         TEXT NOT NULL DEFAULT '',
    explanation     TEXT,                       -- the text of .error.json
    dev             INTEGER NOT NULL,
    ino             INTEGER NOT NULL,
    size            INTEGER NOT NULL,
    mtime_ns        INTEGER NOT NULL,
    in_place        INTEGER NOT NULL,           -- 1: on_success = "keep", never claimed by rename
    input_path      BLOB NOT NULL,              -- where it lies while in progress
    blake3          BLOB CHECK (length(blake3) = 32),
    duplicate_of    TEXT,
    starts          INTEGER NOT NULL DEFAULT 0, -- attempts begun
    attempts        INTEGER NOT NULL DEFAULT 0, -- attempts that count towards giving up
    crashes         INTEGER NOT NULL DEFAULT 0, -- those of them that took the worker with them
    running         INTEGER NOT NULL DEFAULT 0, -- 1: an attempt has begun and nobody has told of its end
    trace_id        TEXT,
    last_error      TEXT,
    arrived_at      INTEGER NOT NULL,
    claimed_at      INTEGER NOT NULL,
    started_at      INTEGER,
    finished_at     INTEGER,
    next_attempt_at INTEGER,
    manifest_hash   BLOB CHECK (length(manifest_hash) = 32),
    final_dir       BLOB,
    disposal        TEXT CHECK (disposal IN ('move', 'delete', 'keep')),
    resting         BLOB,                       -- where the original lies in the end
    rows_read       INTEGER,
    rows_written    INTEGER,
    rows_rejected   INTEGER,
    rows_dropped    INTEGER,
    replaces        TEXT,                       -- a replay: the file whose result it takes the place of
    replaced_by     TEXT,                       -- its result is withdrawn: that file's takes its place
    CHECK ((state = 'done') = (finished_at IS NOT NULL)),
    CHECK (state = 'claimed' OR outcome IS NOT NULL),
    CHECK (outcome IS NOT 'succeeded' OR (blake3 IS NOT NULL AND manifest_hash IS NOT NULL AND final_dir IS NOT NULL))
) STRICT;

-- The exactly-once guard: one content is published once per pipeline. A file has this outcome from STAGED on; a replay takes
-- the place of what it replaces in the same transaction.
CREATE UNIQUE INDEX files_published_once ON files (pipeline, blake3)
    WHERE outcome = 'succeeded' AND replaced_by IS NULL;
CREATE INDEX files_unfinished ON files (pipeline, name) WHERE state <> 'done';
CREATE INDEX files_by_outcome ON files (pipeline, outcome, finished_at);
CREATE INDEX files_by_arrival ON files (pipeline, arrived_at);
CREATE INDEX files_by_pipeline ON files (pipeline, id);
CREATE INDEX files_by_name ON files (name, id);
CREATE INDEX files_by_size ON files (pipeline, size) WHERE outcome = 'succeeded';
CREATE INDEX files_in_place ON files (pipeline, name, id) WHERE in_place = 1;
CREATE INDEX files_in_quarantine ON files (pipeline)
    WHERE outcome IN ('quarantined', 'failed') AND resting IS NOT NULL;

-- The whole story of a file, one line per turn.
CREATE TABLE events (
    seq     INTEGER PRIMARY KEY,
    file    TEXT NOT NULL REFERENCES files (id) ON DELETE CASCADE,
    at      INTEGER NOT NULL,
    what    TEXT NOT NULL,
    message TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_file ON events (file, seq);
