package sqlcore

import (
	"context"
	"database/sql"
)

// ForgetClients deletes all origins and sessions from a database, which
// nobody has open: what a backup must not bring back (SPEC section 6.6).
// Damaged rows stay.
func ForgetClients(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	ids, err := clientRecords(ctx, tx)
	if err != nil {
		return err
	}
	var cell []byte
	if err := tx.QueryRowContext(ctx, "SELECT row FROM state WHERE id = ?", stateID).Scan(&cell); err != nil {
		return err
	}
	if d, err := onlyCell(cell, stateID, false); err == nil {
		if have, err := d.counts(); err == nil {
			have.records -= uint64(len(ids))
			if _, err := tx.ExecContext(ctx, "REPLACE INTO state VALUES (?, ?)", stateID, appendCounts(nil, &have)); err != nil {
				return err
			}
		}
	}
	for _, id := range ids {
		if _, err := tx.ExecContext(ctx, "DELETE FROM records WHERE id = ?", id); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// clientRecords returns the records that are origins and sessions.
func clientRecords(ctx context.Context, tx *sql.Tx) (ids []int64, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT id, row FROM records")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	n := names{}
	for rows.Next() {
		var id int64
		var cell sql.RawBytes
		if err := rows.Scan(&id, &cell); err != nil {
			return nil, err
		}
		d, err := onlyCell(cell, uint64(id), false)
		if err != nil {
			continue
		}
		if r, err := d.record(n); err == nil && (r.kind == originRow || r.kind == sessionRow) {
			ids = append(ids, id)
		}
	}
	return ids, rows.Err()
}
