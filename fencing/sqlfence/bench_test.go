package sqlfence_test

import (
	"database/sql"
	"testing"
)

// BenchmarkCheck is a check within a transaction that is open, by a holder that has checked before.
func BenchmarkCheck(b *testing.B) {
	for _, d := range databases {
		b.Run(d.String(), func(b *testing.B) {
			d.needed(b)
			ctx := holding(b.Context(), "lock/a", 9)
			tx := begin(b, d.fresh(b)(), sql.LevelDefault)
			for b.Loop() {
				if err := d.Check(ctx, tx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWrite is a transaction that writes a row, with a check and without.
func BenchmarkWrite(b *testing.B) {
	for _, d := range databases {
		for name, check := range map[string]bool{"checked": true, "unchecked": false} {
			b.Run(d.String()+"/"+name, func(b *testing.B) {
				d.needed(b)
				db := d.fresh(b)()
				mustExec(b, db, "CREATE TABLE account (balance INTEGER NOT NULL)")
				mustExec(b, db, "INSERT INTO account VALUES (0)")
				ctx := holding(b.Context(), "lock/a", 9)
				for b.Loop() {
					err := once(ctx, db, sql.LevelDefault, func(tx *sql.Tx) error {
						if check {
							if err := d.Check(ctx, tx); err != nil {
								return err
							}
						}
						_, err := tx.ExecContext(ctx, "UPDATE account SET balance = balance + 1")
						return err
					})
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
