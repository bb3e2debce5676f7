"""What a bandit has learnt, in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.errors import ConfigError

FORMAT = 1
WAIT_SECONDS = 30.0
"""How long to wait for another process that writes."""

Floats = NDArray[np.float64]

_TABLES = """
CREATE TABLE about (format INTEGER NOT NULL, features TEXT NOT NULL, prior REAL NOT NULL);
CREATE TABLE arms (name TEXT PRIMARY KEY, precision TEXT NOT NULL, response TEXT NOT NULL, rewards INTEGER NOT NULL);
CREATE TABLE choices (id INTEGER PRIMARY KEY AUTOINCREMENT, arm TEXT NOT NULL, features TEXT NOT NULL, reward REAL);
"""


@dataclass(frozen=True, slots=True)
class Arm:
    """What one arm has seen: A = prior * I + the sum of x xT, b = the sum of reward * x."""

    precision: Floats
    response: Floats
    rewards: int

    @property
    def mean(self) -> Floats:
        """A⁻¹ b."""
        return np.asarray(np.linalg.solve(self.precision, self.response), np.float64)


class BanditState:
    """Arms and choices; each change is one transaction, so several processes may share the file, and a kill loses none.

    Raises:
        ConfigError: the file is none of these, or was made for other features or another prior.
    """

    def __init__(self, path: Path, *, features: Sequence[str], prior: float) -> None:
        self.path = path
        self.features = tuple(features)
        self.prior = prior

    def choices(self) -> int:
        """How many choices were made so far; to ask makes no file."""
        if not self.path.exists():
            return 0
        with self._open() as connection:
            return int(connection.execute("SELECT COALESCE(MAX(id), 0) FROM choices").fetchone()[0])

    def arms(self, names: Sequence[str]) -> dict[str, Arm]:
        """What each of the named arms has learnt; one that was never rewarded holds the prior. It makes no file."""
        if not self.path.exists():
            return {name: self._untaught() for name in names}
        with self._open() as connection:
            return {name: self._arm(connection, name) for name in names}

    def choose(self, arm: str, x: Floats, *, number: int) -> bool:
        """Record choice `number`; false if another process has made that one meanwhile."""
        with self._open() as connection:
            try:
                values = (number, arm, json.dumps(x.tolist()))
                connection.execute("INSERT INTO choices (id, arm, features) VALUES (?, ?, ?)", values)
            except sqlite3.IntegrityError:
                return False
            return True

    def reward(self, number: int, value: float) -> str:
        """Tell how well choice `number` did, from 0 to 1, once; gives the arm that it was.

        Raises:
            ConfigError: no such choice, it has its reward, or the value is out of range.
        """
        if not 0 <= value <= 1:
            raise ConfigError(f"{self.path}: expected a reward from 0 to 1, got {value}")
        with self._open() as connection:
            found = connection.execute("SELECT arm, features, reward FROM choices WHERE id = ?", (number,)).fetchone()
            if found is None:
                raise ConfigError(f"{self.path}: there is no choice {number}")
            name, stored, known = found
            if known is not None:
                raise ConfigError(f"{self.path}: choice {number} has its reward, {known}")
            x = np.array(json.loads(stored), np.float64)
            arm = self._arm(connection, name)
            precision, response = arm.precision + np.outer(x, x), arm.response + value * x
            connection.execute(
                "INSERT OR REPLACE INTO arms VALUES (?, ?, ?, ?)",
                (name, json.dumps(precision.tolist()), json.dumps(response.tolist()), arm.rewards + 1),
            )
            connection.execute("UPDATE choices SET reward = ? WHERE id = ?", (value, number))
            return str(name)

    def _arm(self, connection: sqlite3.Connection, name: str) -> Arm:
        query = "SELECT precision, response, rewards FROM arms WHERE name = ?"
        found = connection.execute(query, (name,)).fetchone()
        if found is None:
            return self._untaught()
        precision, response, rewards = found
        return Arm(np.array(json.loads(precision)), np.array(json.loads(response)), int(rewards))

    def _untaught(self) -> Arm:
        width = len(self.features)
        return Arm(self.prior * np.eye(width), np.zeros(width), 0)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: committed where the block ends, undone where it raises."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._check(connection)
            yield connection
            connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"{self.path}: cannot be used as the state of a bandit: {error}") from error
        finally:
            connection.close()  # what was not committed is undone

    def _check(self, connection: sqlite3.Connection) -> None:
        wanted = (FORMAT, json.dumps(self.features), self.prior)
        if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0:
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.execute("INSERT INTO about VALUES (?, ?, ?)", wanted)
        found = connection.execute("SELECT format, features, prior FROM about").fetchone()
        if found != wanted:
            raise ConfigError(
                f"{self.path}: was made with other features or another prior than the pipeline's",
                hint="name another file, or remove this one to start anew",
            )
