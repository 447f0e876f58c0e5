package crashtest

import (
	"database/sql"
	"errors"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/parleyproto/parley/chatserver/store/internal/sqlcore"
)

// config returns how a store runs on the disk.
func config(d *Disk) sqlcore.Config {
	mount := d.Mount()
	return sqlcore.Config{
		Open: func() (*sql.DB, error) {
			if err := d.Rewrite("chat.db-wal"); err != nil {
				return nil, err
			}
			return sql.Open("sqlite3", "file:"+mount+"/chat.db?vfs=crash&_pragma=busy_timeout(0)")
		},
		Code: func(err error) int {
			var e *sqlite3.Error
			if errors.As(err, &e) {
				return int(e.ExtendedCode())
			}
			return 0
		},
		Single: true,
	}
}
