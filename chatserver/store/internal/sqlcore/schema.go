package sqlcore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// migrations bring a database from each version to the next: from 0, an empty
// file, to version 1 by the first. What stands here once was released is
// never changed; a new version is a new entry. Each runs in one transaction
// together with the ones after it, so a file is of the old version or the
// newest, whatever happens meanwhile.
//
// Messages lie in the order of their arrival and have no other index, so that
// accepting one appends to the last page and nothing else. The row of state
// is rewritten by every commit: one page.
var migrations = []string{`
	CREATE TABLE messages (seq INTEGER PRIMARY KEY, head BLOB, text BLOB);
	CREATE TABLE records (id INTEGER PRIMARY KEY, row BLOB);
	CREATE TABLE state (id INTEGER PRIMARY KEY, row BLOB);
	CREATE TABLE quarantine (id INTEGER PRIMARY KEY, at INTEGER, kind TEXT, ref INTEGER, reason TEXT, row BLOB, text BLOB);
`,
	// Version 2 has more kinds of records: accounts, attempts, the secret. A
	// chatd that knows version 1 only would take them for damaged.
	"-- nothing else",
}

// Roots are the first pages of the tables messages and records: the first
// migration makes its tables in a file that is empty, one after the other.
var Roots = [...]uint32{2, 3}

// Mark is a text of the schema, which stands on the first page.
const Mark = "CREATE TABLE messages (seq INTEGER PRIMARY KEY, head BLOB, text BLOB)"

// ApplicationID marks a database file of a version as ours: "PAR" and the
// version, so that a file of a newer version and one whose version is damaged
// can be told apart. There are 255 versions.
func ApplicationID(version int) int { return 'P'<<24 | 'A'<<16 | 'R'<<8 | version&0xff }

// ErrNewer says that a database is of a version that this code does not know.
var ErrNewer = errors.New("the database was written by a newer chatd")

// A migrationError is why a migration failed. The file is as it was.
type migrationError struct {
	from, to int
	err      error
}

func (e *migrationError) Error() string {
	return fmt.Sprintf("migrating the database from version %d to %d: %v", e.from, e.to, e.err)
}

func (e *migrationError) Unwrap() error { return e.err }

// Version is the schema version that this code reads and writes.
func Version() int { return len(migrations) }

// migrate brings the database to the newest version, or leaves it as it was.
func migrate(ctx context.Context, c *sql.Conn, steps []string) (err error) {
	var version, app, tables int
	if err := c.QueryRowContext(ctx, "SELECT (SELECT user_version FROM pragma_user_version), (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)").
		Scan(&version, &app, &tables); err != nil {
		return err
	}
	switch {
	case version == 0 && tables == 0: // a new file
	case version < 1 || app != ApplicationID(version):
		return fmt.Errorf("this is not a chatd database (application id %#x)", app)
	case version > len(steps):
		return fmt.Errorf("%w: it has version %d, this one reads up to %d", ErrNewer, version, len(steps))
	case version == len(steps):
		return nil
	}
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.ExecContext(ctx, "ROLLBACK")
			err = &migrationError{version, len(steps), err}
		}
	}()
	for _, step := range steps[version:] {
		if _, err := c.ExecContext(ctx, step); err != nil {
			return err
		}
	}
	if version == 0 {
		if _, err := c.ExecContext(ctx, "INSERT INTO state VALUES (?, ?)", stateID, appendCounts(nil, &counts{})); err != nil {
			return err
		}
	}
	if _, err := c.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d; PRAGMA application_id = %d", len(steps), ApplicationID(len(steps)))); err != nil {
		return err
	}
	_, err = c.ExecContext(ctx, "COMMIT")
	return err
}
