package sqlfence

import (
	"context"
	"database/sql"
)

// Begun is the transaction that the caller has begun on c by a statement of its own, such as BEGIN IMMEDIATE. It has to be one: on
// a connection without a transaction each statement is its own, and Check protects nothing. Commit and Rollback send COMMIT and
// ROLLBACK.
func Begun(c *sql.Conn) Tx { return begun{c} }

type begun struct{ Querier }

func (b begun) Commit() error   { return b.end("COMMIT") }
func (b begun) Rollback() error { return b.end("ROLLBACK") }

func (b begun) end(how string) error {
	_, err := b.ExecContext(context.Background(), how)
	return err
}
