"""The steps that bring a catalog file from any earlier form to today's. Each step is applied once, in order, and never edited."""

from oito.errors import CatalogTooNew
from oito.storage.sql import Database

STEPS = (
    """
    CREATE TABLE version (
        id INTEGER PRIMARY KEY,
        asset TEXT NOT NULL,
        number INTEGER NOT NULL,
        partition TEXT NOT NULL DEFAULT '',
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        definition TEXT NOT NULL,
        content TEXT NOT NULL,
        created_at TEXT NOT NULL,
        environment TEXT NOT NULL,
        run TEXT NOT NULL,
        seconds REAL NOT NULL,
        rows INTEGER,
        size_bytes INTEGER NOT NULL,
        record TEXT NOT NULL,
        tables TEXT NOT NULL,
        files TEXT NOT NULL,
        UNIQUE (asset, number)
    );
    CREATE INDEX version_by_fingerprint ON version (fingerprint);
    CREATE TABLE edge (
        version INTEGER NOT NULL REFERENCES version (id),
        role TEXT NOT NULL,
        input INTEGER NOT NULL REFERENCES version (id),
        PRIMARY KEY (version, role, input)
    ) WITHOUT ROWID;
    CREATE INDEX edge_by_input ON edge (input);
    CREATE TABLE file (
        version INTEGER NOT NULL REFERENCES version (id),
        digest TEXT NOT NULL,
        PRIMARY KEY (version, digest)
    ) WITHOUT ROWID;
    CREATE INDEX file_by_digest ON file (digest);
    CREATE TABLE metric (
        version INTEGER NOT NULL REFERENCES version (id),
        name TEXT NOT NULL,
        step INTEGER NOT NULL DEFAULT 0,
        value REAL,
        PRIMARY KEY (version, name, step)
    ) WITHOUT ROWID;
    CREATE TABLE fingerprint (digest TEXT PRIMARY KEY, parts TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE pointer (
        environment TEXT NOT NULL,
        asset TEXT NOT NULL,
        partition TEXT NOT NULL DEFAULT '',
        version INTEGER NOT NULL REFERENCES version (id),
        PRIMARY KEY (environment, asset, partition)
    ) WITHOUT ROWID;
    CREATE TABLE move (
        id INTEGER PRIMARY KEY,
        environment TEXT NOT NULL,
        asset TEXT NOT NULL,
        partition TEXT NOT NULL DEFAULT '',
        version INTEGER,
        at TEXT NOT NULL,
        release INTEGER
    );
    CREATE INDEX move_by_environment ON move (environment, asset, id);
    CREATE TABLE release (
        id INTEGER PRIMARY KEY,
        environment TEXT NOT NULL,
        number INTEGER NOT NULL,
        at TEXT NOT NULL,
        who TEXT NOT NULL,
        message TEXT NOT NULL,
        bundle TEXT NOT NULL,
        record TEXT NOT NULL,
        UNIQUE (environment, number)
    );
    CREATE TABLE run (
        id TEXT PRIMARY KEY,
        environment TEXT NOT NULL,
        reason TEXT NOT NULL,
        who TEXT NOT NULL,
        state TEXT NOT NULL,
        at TEXT NOT NULL,
        started REAL NOT NULL,
        seen REAL NOT NULL,
        seconds REAL,
        bundle TEXT NOT NULL
    );
    CREATE TABLE step (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES run (id),
        asset TEXT NOT NULL,
        state TEXT NOT NULL,
        version INTEGER REFERENCES version (id),
        seconds REAL NOT NULL,
        cause TEXT NOT NULL,
        error TEXT NOT NULL DEFAULT '',
        log TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX step_by_run ON step (run);
    CREATE INDEX step_by_asset ON step (asset, id);
    CREATE TABLE work (
        fingerprint TEXT PRIMARY KEY,
        run TEXT NOT NULL,
        seen REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE poll (
        environment TEXT NOT NULL,
        asset TEXT NOT NULL,
        probe TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (environment, asset)
    ) WITHOUT ROWID;
    CREATE TABLE accepted (
        fingerprint TEXT NOT NULL,
        asset TEXT NOT NULL,
        version INTEGER NOT NULL REFERENCES version (id),
        reason TEXT NOT NULL,
        PRIMARY KEY (fingerprint, asset)
    ) WITHOUT ROWID;
    CREATE TABLE answer (
        id INTEGER PRIMARY KEY,
        asset TEXT NOT NULL,
        item TEXT NOT NULL,
        label TEXT NOT NULL,
        who TEXT NOT NULL,
        at TEXT NOT NULL,
        note TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX answer_by_asset ON answer (asset, item, id);
    CREATE TABLE event (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        who TEXT NOT NULL,
        verb TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL UNIQUE
    );
    CREATE INDEX event_by_subject ON event (subject, id);
    """,
    """
    ALTER TABLE version ADD COLUMN partitions TEXT NOT NULL DEFAULT '{}';
    """,
    """
    CREATE TABLE tick (
        id INTEGER PRIMARY KEY,
        environment TEXT NOT NULL,
        asset TEXT NOT NULL,
        due TEXT NOT NULL,
        first TEXT NOT NULL,
        count INTEGER NOT NULL,
        sort TEXT NOT NULL,
        cause TEXT NOT NULL,
        state TEXT NOT NULL,
        note TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT '',
        not_before TEXT NOT NULL DEFAULT '',
        attempts INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0,
        reason TEXT NOT NULL DEFAULT '',
        run TEXT NOT NULL DEFAULT '',
        pid INTEGER NOT NULL DEFAULT 0,
        began TEXT NOT NULL DEFAULT '',
        ended TEXT NOT NULL DEFAULT '',
        UNIQUE (environment, asset, due)
    );
    CREATE INDEX tick_by_state ON tick (state);
    CREATE TABLE reached (
        environment TEXT NOT NULL,
        asset TEXT NOT NULL,
        schedule TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (environment, asset)
    ) WITHOUT ROWID;
    CREATE TABLE leader (
        office TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        since TEXT NOT NULL,
        seen TEXT NOT NULL,
        beats INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX run_by_reason ON run (reason);
    """,
    """
    CREATE TABLE approval (
        id INTEGER PRIMARY KEY,
        environment TEXT NOT NULL,
        proposal TEXT NOT NULL,
        who TEXT NOT NULL,
        at TEXT NOT NULL,
        note TEXT NOT NULL,
        UNIQUE (environment, proposal, who)
    );
    CREATE TABLE acceptance (
        environment TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        asset TEXT NOT NULL,
        version INTEGER NOT NULL REFERENCES version (id),
        reason TEXT NOT NULL,
        PRIMARY KEY (environment, fingerprint, asset)
    ) WITHOUT ROWID;
    INSERT INTO acceptance SELECT e.environment, a.fingerprint, a.asset, a.version, a.reason
        FROM accepted a, (SELECT DISTINCT environment FROM move) e;
    DROP TABLE accepted;
    """,
    """
    CREATE TABLE manifest (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        segment INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        tip TEXT NOT NULL
    );
    """,
    """
    CREATE TABLE undeclared (
        definition TEXT NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (definition, name)
    ) WITHOUT ROWID;
    """,
)


def migrate(database: Database, *, to: int = len(STEPS)) -> None:
    """Bring the file to today's form, or to the earlier one `to`; a file that has it already costs one read.

    Raises:
        CatalogTooNew: a newer oito wrote the file; nothing was changed.
    """
    if form_of(database) == to:
        return
    with database.write() as change:
        form = form_of(database)
        if form > len(STEPS):
            raise CatalogTooNew(
                f"the catalog has form {form} and this oito knows forms up to {len(STEPS)}",
                where=str(database.path),
                known="a newer oito wrote it; nothing was changed",
                next="install the newer oito: pip install -U oito",
            )
        for step in STEPS[form:to]:
            for statement in filter(str.strip, step.split(";")):
                change.run(statement)
        change.run(f"PRAGMA user_version={to}")


def form_of(database: Database) -> int:
    """Return how many steps the file has had; 0 is an empty one."""
    row = database.one("PRAGMA user_version")
    return int(row[0]) if row else 0
