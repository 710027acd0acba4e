package sqlfence_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/stile-dev/stile/fencing"
)

// races is how many there are at each level: thousands in all.
const races = 400

// TestTheSmallerTokenNeverCommitsAfterTheLarger: two transactions race for a resource that nobody has used before, or with earlier holders.
// Each writes, after its check, what it sees of the other's. If the larger one has committed and has not seen the smaller one's write,
// that came later.
func TestTheSmallerTokenNeverCommitsAfterTheLarger(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		for _, level := range d.levels {
			t.Run(level.String(), func(t *testing.T) {
				t.Parallel()
				r := &racers{database: d, level: level, db: d.fresh(t)()}
				mustExec(t, r.db, "CREATE TABLE log (race INTEGER NOT NULL, token INTEGER NOT NULL, others INTEGER NOT NULL, PRIMARY KEY (race, token))")
				for n := range races {
					r.race(t, n)
				}
				r.judge(t)
			})
		}
	})
}

type racers struct {
	database
	level sql.IsolationLevel
	db    *sql.DB
}

func (r *racers) race(t *testing.T, n int) {
	t.Helper()
	if n%2 == 1 {
		if err := r.Seal(holding(t.Context(), "lock/"+strconv.Itoa(n), 5), r.db); err != nil {
			t.Fatal(err)
		}
	}
	var both sync.WaitGroup
	start := make(chan struct{})
	for _, token := range rand.Perm(2) {
		both.Go(func() {
			<-start
			err := inTx(t.Context(), r.db, r.level, func(tx *sql.Tx) error { return r.write(t.Context(), tx, n, int64(9+token)) })
			if err != nil && (token == 1 || !errors.Is(err, fencing.ErrStale)) {
				t.Errorf("race %d, token %d: %v", n, 9+token, err)
			}
		})
	}
	close(start)
	both.Wait()
}

func (r *racers) write(ctx context.Context, tx *sql.Tx, n int, token int64) error {
	if err := r.Check(holding(ctx, "lock/"+strconv.Itoa(n), token), tx); err != nil {
		return err
	}
	var others int
	if err := tx.QueryRowContext(ctx, r.sql("SELECT COUNT(*) FROM log WHERE race = ?"), n).Scan(&others); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, r.sql("INSERT INTO log (race, token, others) VALUES (?, ?, ?)"), n, token, others)
	return err
}

// judge looks at what is in the table.
func (r *racers) judge(t *testing.T) {
	t.Helper()
	count := func(query string) (n int) {
		if err := r.db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count("SELECT COUNT(*) FROM log WHERE token = 10"); n != races {
		t.Errorf("the larger token committed in %d races, want all %d", n, races)
	}
	late := count("SELECT COUNT(*) FROM log l JOIN log s ON l.race = s.race WHERE l.token = 10 AND s.token = 9 AND l.others = 0")
	if late > 0 {
		t.Errorf("the smaller token committed after the larger one in %d races", late)
	}
	both := count("SELECT COUNT(*) FROM log WHERE token = 9")
	t.Logf("in %d races both committed, in order, and in %d the smaller token was refused", both, races-both)
}

func holding(ctx context.Context, resource string, token int64) context.Context {
	return fencing.NewContext(ctx, fencing.Claim{Resource: resource, Token: fencing.FromRevision(token)})
}

func reading(ctx context.Context, resource string, token int64) context.Context {
	return fencing.NewContext(ctx, fencing.Claim{Resource: resource, Token: fencing.FromRevision(token), Mode: fencing.Shared})
}
