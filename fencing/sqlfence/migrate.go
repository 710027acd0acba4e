package sqlfence

import (
	"context"
	"database/sql"
	"fmt"
)

// Migrate makes the table stile_fence if it isn't there. Any number of processes may do so at once. Who checks and seals needs the rights
// to SELECT, INSERT and UPDATE, who only reads that to SELECT; nobody needs the right to DELETE.
func (d Dialect) Migrate(ctx context.Context, db DB) error {
	s, err := d.statements()
	if err != nil {
		return err
	}
	return d.inTx(ctx, db, func(tx *sql.Tx) error {
		for _, statement := range []string{s.serial, s.schema} {
			if statement == "" {
				continue
			}
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("sqlfence: migrate: %w", because(ctx, err))
			}
		}
		return nil
	})
}

// Schema is the statement by which Migrate makes the table, for tools that keep all of a database's schema. It is empty for what is no
// dialect.
func (d Dialect) Schema() string {
	s, _ := d.statements()
	return s.schema
}
