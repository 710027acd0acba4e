package sqlfence

import (
	"context"
	"database/sql"

	"github.com/stile-dev/stile/fencing"
)

// Gate is a fencing.Gate whose calls are transactions of their own: a durable memory for a resource that has none. The step that
// is checked is outside of the database, so nothing keeps a larger token from being admitted between the two. What is in the
// database itself Check protects, in the transaction that writes it.
func (d Dialect) Gate(db DB) fencing.Gate { return gate{d, db} }

type gate struct {
	dialect Dialect
	db      DB
}

func (g gate) Check(ctx context.Context) error {
	if _, err := writer(ctx); err != nil { // before a transaction is begun
		return err
	}
	return g.dialect.inTx(ctx, g.db, func(tx *sql.Tx) error { return g.dialect.Check(ctx, tx) })
}

func (g gate) CheckRead(ctx context.Context) error {
	if _, err := claim(ctx); err != nil {
		return err
	}
	return g.dialect.inTx(ctx, g.db, func(tx *sql.Tx) error { return g.dialect.CheckRead(ctx, tx) })
}

func (g gate) Seal(ctx context.Context) error { return g.dialect.Seal(ctx, g.db) }
