// Command fencedsql pays out of an account in a SQL database, under a lock, and shows what becomes of a payer whose process is
// stopped for longer than its lease.
//
//	go run ./examples/fencedsql    # SQLite, and etcd in this process
//	go run ./examples/fencedsql -endpoint http://127.0.0.1:2379 -dsn postgres://user@host/name
//	go run ./examples/fencedsql -endpoint http://127.0.0.1:2379 -dsn 'mysql://user:password@tcp(host:3306)/name'
//
// The part to copy is account.pay.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	_ "modernc.org/sqlite"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/sqlfence"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/server"
)

func main() {
	dsn := flag.String("dsn", "", "`URL` of a PostgreSQL or MySQL database; without one, SQLite in a temporary file")
	endpoint := flag.String("endpoint", "", "`URL` of an etcd; without one, a server in this process")
	flag.Parse()
	if err := run(*dsn, *endpoint); err != nil {
		fmt.Fprintln(os.Stderr, "fencedsql:", err)
		os.Exit(1)
	}
}

func run(dsn, endpoint string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if dsn != "" && endpoint == "" {
		return errors.New("-dsn goes with -endpoint: the database remembers the tokens of an etcd, and one in this process would begin with small ones again")
	}
	client, hangUp, err := connect(ctx, endpoint)
	if err != nil {
		return err
	}
	defer hangUp()
	a, err := openAccount(ctx, dsn)
	if err != nil {
		return err
	}
	defer a.close()
	return show(ctx, client, a)
}

// An account is a row of a table, which the lock "account/7" is about.
type account struct {
	db      *sql.DB
	dialect sqlfence.Dialect
	arg     string // how the database writes the first argument of a statement
	close   func()
}

// pay takes amount out of the account. ctx is that of the lock: the guards take the fencing token from it.
func (a account) pay(ctx context.Context, amount int, transfer func(context.Context) (context.Context, error)) error {
	// From here on no transaction of an earlier holder is committed any more: what is read stays true.
	if err := a.dialect.Seal(ctx, a.db); err != nil {
		return err
	}
	balance, err := a.balance(ctx)
	if err != nil {
		return err
	}
	fmt.Println("    reads:", balance, "in the account, enough to pay", amount)
	if balance < amount {
		return errors.New("not enough in the account")
	}
	if ctx, err = transfer(ctx); err != nil { // what takes long
		return err
	}

	tx, err := a.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	if err := a.dialect.Check(ctx, tx); err != nil {
		return err // rolled back: nothing was written
	}
	if _, err := tx.ExecContext(ctx, "UPDATE fencedsql_account SET balance = balance - "+a.arg+" WHERE id = 7", amount); err != nil {
		return err
	}
	return tx.Commit()
}

func (a account) balance(ctx context.Context) (n int, err error) {
	return n, a.db.QueryRowContext(ctx, "SELECT balance FROM fencedsql_account WHERE id = 7").Scan(&n)
}

// show has Anna stopped while she transfers the money, and Bert come in meanwhile.
func show(ctx context.Context, client *clientv3.Client, a account) error {
	stop := func(held context.Context) (context.Context, error) {
		resumed, err := stopped(held, client)
		if err != nil {
			return nil, err
		}
		fmt.Println("    is stopped, for longer than her lease lasts")
		if err := payer(ctx, client, "Bert", func(ctx context.Context) error { return a.pay(ctx, 70, transfer) }); err != nil {
			return nil, err
		}
		fmt.Println("    has paid")
		fmt.Println("Anna goes on, and does not know what has happened")
		return resumed, nil
	}
	err := payer(ctx, client, "Anna", func(ctx context.Context) error { return a.pay(ctx, 60, stop) })
	stale, ok := errors.AsType[*fencing.StaleError](err)
	if !ok {
		return fmt.Errorf("the late payment was not refused: %w", err)
	}
	fmt.Printf("    is refused: token %v was presented, %v was seen\n", stale.Presented, stale.Seen)
	balance, err := a.balance(ctx)
	fmt.Println("In the account:", balance, "(it would be -30 if nobody checked the tokens)")
	return err
}

func transfer(ctx context.Context) (context.Context, error) { return ctx, nil }

// payer is one of several processes. Here they are sessions of one.
func payer(ctx context.Context, client *clientv3.Client, name string, work func(context.Context) error) error {
	s, err := session.Open(context.WithoutCancel(ctx), client)
	if err != nil {
		return err
	}
	defer s.Close(ctx)
	return lock.Do(ctx, s, "account/7", func(ctx context.Context) error {
		claim, err := fencing.FromContext(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("%s has the lock, with token %v\n", name, claim.Token)
		return work(ctx)
	})
}

// stopped does what time does to a process that is stopped: its lease ends, and it does not notice. This process does, since it is
// not stopped; hence a context that does not end with the lock. (In tests recipestest.Zombie does this.)
func stopped(ctx context.Context, client *clientv3.Client) (context.Context, error) {
	claim, err := fencing.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	entry, err := client.Get(ctx, claim.Key)
	if err != nil {
		return nil, err
	}
	for _, kv := range entry.Kvs {
		if _, err := client.Revoke(ctx, clientv3.LeaseID(kv.Lease)); err != nil {
			return nil, err
		}
	}
	return fencing.NewContext(context.WithoutCancel(ctx), claim.Bind(nil)), nil
}

// openAccount makes the account, with 100 in it.
func openAccount(ctx context.Context, dsn string) (account, error) {
	a, err := openDatabase(dsn)
	if err != nil {
		return account{}, err
	}
	if err := a.dialect.Migrate(ctx, a.db); err != nil {
		a.close()
		return account{}, err
	}
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS fencedsql_account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)",
		"DELETE FROM fencedsql_account",
		"INSERT INTO fencedsql_account (id, balance) VALUES (7, 100)",
	} {
		if _, err := a.db.ExecContext(ctx, statement); err != nil {
			a.close()
			return account{}, err
		}
	}
	return a, nil
}

func openDatabase(dsn string) (a account, err error) {
	a = account{arg: "?"}
	driver, remove := "", func() {}
	mysql, isMySQL := strings.CutPrefix(dsn, "mysql://")
	switch {
	case dsn == "":
		dir, err := os.MkdirTemp("", "fencedsql")
		if err != nil {
			return account{}, err
		}
		remove = func() { _ = os.RemoveAll(dir) }
		driver, a.dialect = "sqlite", sqlfence.SQLite
		// Who finds the database locked waits, and transactions take the lock when they begin.
		dsn = "file:" + filepath.Join(dir, "accounts.db") + "?_txlock=immediate&_pragma=busy_timeout(10000)"
	case isMySQL:
		driver, a.dialect, dsn = "mysql", sqlfence.MySQL, mysql
	case strings.HasPrefix(dsn, "postgres"):
		driver, a.dialect, a.arg = "pgx", sqlfence.PostgreSQL, "$1"
	default:
		return account{}, errors.New("-dsn begins with postgres:// or mysql://")
	}
	if a.db, err = sql.Open(driver, dsn); err != nil {
		remove()
		return account{}, err
	}
	a.close = func() {
		_ = a.db.Close()
		remove()
	}
	return a, nil
}

// connect returns a client of the etcd at endpoint, or of a server that it starts in this process.
func connect(ctx context.Context, endpoint string) (client *clientv3.Client, hangUp func(), err error) {
	if endpoint != "" {
		client, err = clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()}) // it logs each retry otherwise
		return client, func() { _ = client.Close() }, err
	}
	srv, err := server.Start(ctx, server.Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}})
	if err != nil {
		return nil, nil, err
	}
	return srv.Client(), func() { _ = srv.Close(ctx) }, nil
}
