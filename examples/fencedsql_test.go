package examples

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/stile-dev/stile/recipes/recipestest"
)

func TestFencedSQL(t *testing.T) {
	bin := build(t, "fencedsql")
	want := regexp.MustCompile(`^Anna has the lock, with token (\d+)
    reads: 100 in the account, enough to pay 60
    is stopped, for longer than her lease lasts
Bert has the lock, with token (\d+)
    reads: 100 in the account, enough to pay 70
    has paid
Anna goes on, and does not know what has happened
    is refused: token (\d+) was presented, (\d+) was seen
In the account: 30 \(it would be -30 if nobody checked the tokens\)
$`)
	for name, args := range map[string]func(t *testing.T) []string{
		"SQLite": func(*testing.T) []string { return nil },
		"PostgreSQL": func(t *testing.T) []string {
			t.Helper()
			return []string{"-endpoint", recipestest.Endpoint(t), "-dsn", postgres(t)}
		},
		"MySQL": func(t *testing.T) []string {
			t.Helper()
			return []string{"-endpoint", recipestest.Endpoint(t), "-dsn", mariaDB(t)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := args(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, bin, args...).CombinedOutput()
			m := want.FindSubmatch(out)
			if err != nil || m == nil {
				t.Fatalf("%v: got\n%s\nwant %s", err, out, want)
			}
			if anna, bert := string(m[1]), string(m[2]); string(m[3]) != anna || string(m[4]) != bert {
				t.Errorf("the tokens don't fit:\n%s", out)
			}
		})
	}
}

// TestFencedSQLWantsAnEtcdThatStays: tokens of another would be refused, rightly, and nobody would know why.
func TestFencedSQLWantsAnEtcdThatStays(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), build(t, "fencedsql"), "-dsn", "postgres://nowhere").CombinedOutput()
	if err == nil || !regexp.MustCompile(`-dsn goes with -endpoint`).Match(out) {
		t.Errorf("%v: %s", err, out)
	}
}

// postgres is the URL of a PostgreSQL with a schema for this test. STILE_TEST_POSTGRES is another server's, as a URL.
func postgres(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(env("STILE_TEST_POSTGRES", "postgres://root@127.0.0.1:5432/postgres?sslmode=disable"))
	if err != nil {
		t.Fatal(err)
	}
	schema := own(t, "pgx", u.String(), "CREATE SCHEMA %s", "DROP SCHEMA %s CASCADE")
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String()
}

// mariaDB is the URL of a MySQL or MariaDB with a database for this test. STILE_TEST_MYSQL is another server's.
func mariaDB(t *testing.T) string {
	t.Helper()
	cfg, err := mysql.ParseDSN(env("STILE_TEST_MYSQL", "root@tcp(127.0.0.1:3306)/"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.DBName = own(t, "mysql", cfg.FormatDSN(), "CREATE DATABASE %s", "DROP DATABASE %s")
	return "mysql://" + cfg.FormatDSN()
}

// own makes a part of a database that is this test's own. It skips the test where there is no such database, except in CI.
func own(t *testing.T, driver, dsn, create, drop string) (name string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.PingContext(t.Context()); err != nil && os.Getenv("CI") != "true" {
		_ = db.Close()
		t.Skipf("%s: %v", driver, err)
	}
	name = fmt.Sprintf("stile_test_%d", os.Getpid())
	if _, err := db.ExecContext(t.Context(), fmt.Sprintf(create, name)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.ExecContext(context.Background(), fmt.Sprintf(drop, name)); err != nil {
			t.Error(err)
		}
		_ = db.Close()
	})
	return name
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
