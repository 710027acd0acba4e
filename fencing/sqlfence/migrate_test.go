package sqlfence_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/stile-dev/stile/fencing"
)

// TestManyMigrateAtOnce, on what is new each time, and then once more on what has data.
func TestManyMigrateAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		for range 5 {
			db := d.empty(t)()
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					if err := d.Migrate(t.Context(), db); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if err := d.Seal(holding(t.Context(), "lock/a", 7), db); err != nil {
				t.Error(err)
			}
			if err := d.Migrate(t.Context(), db); err != nil {
				t.Error(err)
			}
			if err := d.Seal(holding(t.Context(), "lock/a", 6), db); !errors.Is(err, fencing.ErrStale) {
				t.Errorf("a smaller token after another Migrate: %v", err)
			}
		}
	})
}

// TestSchemaIsWhatMigrateMakes: a tool may make the table instead.
func TestSchemaIsWhatMigrateMakes(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.empty(t)()
		mustExec(t, db, d.Schema())
		if err := d.Seal(holding(t.Context(), "lock/a", 7), db); err != nil {
			t.Error(err)
		}
	})
}
