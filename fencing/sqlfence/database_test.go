package sqlfence_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/stile-dev/stile/fencing/sqlfence"
)

// A database is a kind of database that tests run on.
type database struct {
	sqlfence.Dialect
	levels []sql.IsolationLevel
	open   func(tb testing.TB, name string) *sql.DB // of what belongs to name alone, which is made
	drop   string                                   // removes it
	reach  func() error
}

var databases = []database{
	{
		Dialect: sqlfence.PostgreSQL,
		levels:  []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable},
		open:    openPostgres,
		drop:    "DROP SCHEMA %s CASCADE",
		reach:   sync.OnceValue(func() error { return ping(stdlib.OpenDB(*postgresConfig(""))) }),
	},
	{
		Dialect: sqlfence.MySQL,
		levels:  []sql.IsolationLevel{sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable},
		open:    openMySQL,
		drop:    "DROP DATABASE %s",
		reach:   sync.OnceValue(func() error { return ping(mysqlDB("")) }),
	},
	{
		Dialect: sqlfence.SQLite,
		levels:  []sql.IsolationLevel{sql.LevelDefault},
		open:    openSQLite,
		reach:   func() error { return nil },
	},
}

// onEach runs a test on each database that can be reached; in CI all of them must be.
func onEach(t *testing.T, test func(t *testing.T, d database)) {
	t.Helper()
	for _, d := range databases {
		t.Run(d.String(), func(t *testing.T) {
			d.needed(t)
			t.Parallel() // most of it is waiting
			test(t, d)
		})
	}
}

func (d database) needed(tb testing.TB) {
	tb.Helper()
	if err := d.reach(); err != nil && os.Getenv("CI") == "true" {
		tb.Fatalf("%v: in CI it must be there: %v", d.Dialect, err)
	} else if err != nil {
		tb.Skipf("%v: %v", d.Dialect, err)
	}
}

// fresh opens a part of the database that is the test's own, with the guard's table, as often as it is asked to.
func (d database) fresh(tb testing.TB) (open func() *sql.DB) {
	tb.Helper()
	open = d.empty(tb)
	if err := d.Migrate(tb.Context(), open()); err != nil {
		tb.Fatal(err)
	}
	return open
}

// empty is the same without the table.
func (d database) empty(tb testing.TB) (open func() *sql.DB) {
	tb.Helper()
	name := fmt.Sprintf("stile_test_%d_%08x", os.Getpid(), rand.Uint32())
	if d.Dialect == sqlfence.SQLite {
		name = filepath.Join(tb.TempDir(), name)
	}
	first := d.open(tb, name)
	tb.Cleanup(func() {
		if d.drop != "" {
			if _, err := first.ExecContext(context.Background(), fmt.Sprintf(d.drop, name)); err != nil {
				tb.Errorf("drop: %v", err)
			}
		}
		_ = first.Close()
	})
	return func() *sql.DB {
		db := d.open(tb, name)
		tb.Cleanup(func() { _ = db.Close() })
		return db
	}
}

// sql writes a statement with the placeholders of the database instead of question marks.
func (d database) sql(query string) string {
	if d.Dialect != sqlfence.PostgreSQL {
		return query
	}
	parts := strings.Split(query, "?")
	for i := range parts[:len(parts)-1] {
		parts[i] += fmt.Sprintf("$%d", i+1)
	}
	return strings.Join(parts, "")
}

func ping(db *sql.DB) error {
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return db.PingContext(ctx)
}

func postgresConfig(schema string) *pgx.ConnConfig {
	cfg, err := pgx.ParseConfig(env("STILE_TEST_POSTGRES", "postgres://root@127.0.0.1:5432/postgres?sslmode=disable"))
	if err != nil {
		panic(err)
	}
	if schema != "" {
		cfg.RuntimeParams["search_path"] = schema
	}
	cfg.RuntimeParams["synchronous_commit"] = "off" // no test pulls the plug
	return cfg
}

func openPostgres(tb testing.TB, schema string) *sql.DB {
	tb.Helper()
	db := limited(stdlib.OpenDB(*postgresConfig(schema)))
	mustExec(tb, db, "CREATE SCHEMA IF NOT EXISTS "+schema)
	return db
}

func mysqlDB(name string) *sql.DB {
	cfg, err := mysql.ParseDSN(env("STILE_TEST_MYSQL", "root@tcp(127.0.0.1:3306)/"))
	if err != nil {
		panic(err)
	}
	cfg.DBName = name
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		panic(err)
	}
	return limited(sql.OpenDB(c))
}

func openMySQL(tb testing.TB, name string) *sql.DB {
	tb.Helper()
	server := mysqlDB("")
	defer server.Close()
	mustExec(tb, server, "CREATE DATABASE IF NOT EXISTS "+name)
	return mysqlDB(name)
}

func openSQLite(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
	if err != nil {
		tb.Fatal(err)
	}
	return limited(db)
}

// limited leaves connections to others who use the same server.
func limited(db *sql.DB) *sql.DB {
	db.SetMaxOpenConns(10)
	db.SetMaxIdleConns(10)
	return db
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func mustExec(tb testing.TB, q sqlfence.Querier, query string, args ...any) {
	tb.Helper()
	if _, err := q.ExecContext(tb.Context(), query, args...); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
}
