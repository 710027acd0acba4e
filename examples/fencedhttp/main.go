// Command fencedhttp is a service of accounts over HTTP and SQL, and two workers that change the same one. One of them is
// stopped in the middle of a request, for longer than its lock lasts; what it sends when it goes on is refused with 412.
//
//	go run ./examples/fencedhttp                                   # on a server of its own
//	go run ./examples/fencedhttp -endpoint http://127.0.0.1:2379   # on yours
package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	_ "modernc.org/sqlite"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/httpfence"
	"github.com/stile-dev/stile/fencing/sqlfence"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/server"
)

const account = "accounts/7" // what the lock, the path and the row are called

func main() {
	endpoint := flag.String("endpoint", "", "`URL` of an etcd; without one, a server in this process")
	flag.Parse()
	if err := run(*endpoint); err != nil {
		fmt.Fprintln(os.Stderr, "fencedhttp:", err)
		os.Exit(1)
	}
}

func run(endpoint string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	etcd, hangUp, err := connect(ctx, endpoint)
	if err != nil {
		return err
	}
	defer hangUp()
	db, closeDB, err := open(ctx)
	if err != nil {
		return err
	}
	defer closeDB()
	url, shutDown, err := serve(ctx, &service{db: db})
	if err != nil {
		return err
	}
	defer shutDown()
	return play(ctx, etcd, worker{url: url, client: newClient()})
}

// The service.

type service struct{ db *sql.DB }

// routes has a guard before each handler. Who the client is, and whether it may do this at all, is checked before the guard
// in a real service: a token says only who came later.
func (s *service) routes() http.Handler {
	gate := sqlfence.SQLite.Gate(s.db)
	resource := func(r *http.Request) string { return "lock/accounts/" + r.PathValue("id") } // for the service to say, not the client
	guard := httpfence.Guard(gate, resource)
	seals := httpfence.Guard(gate, resource, httpfence.Seals(func(*http.Request) bool { return true }))
	mux := http.NewServeMux()
	mux.Handle("POST /accounts/{id}/seal", seals(http.HandlerFunc(s.get))) // a new holder begins here, and gets what it builds on
	mux.Handle("GET /accounts/{id}", guard(http.HandlerFunc(s.get)))
	mux.Handle("PUT /accounts/{id}", guard(http.HandlerFunc(s.put)))
	return mux
}

type balance struct {
	Balance int `json:"balance"`
}

func (s *service) get(w http.ResponseWriter, r *http.Request) {
	var b balance
	err := s.db.QueryRowContext(r.Context(), "SELECT balance FROM account WHERE id = ?", r.PathValue("id")).Scan(&b.Balance)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		http.NotFound(w, r)
	case err != nil:
		http.Error(w, "the database gave no answer", http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(b)
	}
}

func (s *service) put(w http.ResponseWriter, r *http.Request) {
	var b balance
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&b); err != nil {
		http.Error(w, "not a balance", http.StatusBadRequest)
		return
	}
	switch err := s.set(r.Context(), r.PathValue("id"), b.Balance); {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case httpfence.Refuse(w, r, err): // replaced since the guard looked: the transaction was rolled back
	default:
		http.Error(w, "the database gave no answer", http.StatusServiceUnavailable)
	}
}

// set checks the token in the transaction that writes. The guard before the handler has checked it too, but that was a step of its
// own: the request's body can come an hour later.
func (s *service) set(ctx context.Context, id string, balance int) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	if err := sqlfence.SQLite.Check(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE account SET balance = ? WHERE id = ?", balance, id); err != nil {
		return err
	}
	return tx.Commit()
}

// A worker.

type worker struct {
	url    string
	client *http.Client
}

// newClient sends with each request the claim that its context carries. It waits with a body until the service wants it.
func newClient() *http.Client {
	base := &http.Transport{ExpectContinueTimeout: time.Minute}
	return &http.Client{Transport: httpfence.Transport(base)}
}

// withdraw works while it has the lock, and returns what was there before. The ctx of the work carries the claim to the
// service, and ends if the lock is lost.
func (w worker) withdraw(ctx context.Context, s *session.Session, amount int) (had int, err error) {
	err = lock.Do(ctx, s, account, func(ctx context.Context) error {
		if had, err = w.seal(ctx); err != nil {
			return err
		}
		return w.put(ctx, had-amount)
	})
	return had, err
}

// seal presents the token and reads the balance. From here on no earlier holder's write lands.
func (w worker) seal(ctx context.Context) (int, error) {
	answer, err := w.do(ctx, http.MethodPost, "/seal", nil)
	if err != nil {
		return 0, err
	}
	var b balance
	err = json.Unmarshal(answer, &b)
	return b.Balance, err
}

// put sets the balance. An error that Is fencing.ErrStale says that somebody else has got the lock since.
func (w worker) put(ctx context.Context, amount int) error {
	_, err := w.do(ctx, http.MethodPut, "", bytes.NewReader(encode(amount)))
	return err
}

func (w worker) do(ctx context.Context, method, path string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.url+"/"+account+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Expect", "100-continue") // so that nothing is sent in vain to a service that refuses
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := httpfence.Error(resp); err != nil {
		return nil, fmt.Errorf("%d: %w", resp.StatusCode, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<10))
}

func encode(amount int) []byte {
	text, _ := json.Marshal(balance{amount})
	return text
}

// The play: Alice is stopped, Bob comes, Alice goes on.

func play(ctx context.Context, etcd *clientv3.Client, w worker) error {
	alice, err := session.Open(ctx, etcd)
	if err != nil {
		return err
	}
	defer alice.Close(ctx)
	held, err := lock.Acquire(ctx, alice, account)
	if err != nil {
		return err
	}
	has, err := w.seal(held.Context())
	if err != nil {
		return err
	}
	fmt.Println("alice has the lock with token", held.Token(), "and reads", has)

	// A process that is stopped doesn't notice that its lock is lost: what it does next, it does with the claim that it had. A
	// claim knows when its hold is over, and guards refuse it at once; Bind(nil) takes that knowledge away.
	unaware := fencing.NewContext(ctx, held.Claims()[0].Bind(nil))
	resume, err := w.putHalf(unaware, has-60)
	if err != nil {
		return err
	}
	fmt.Println("alice withdraws 60: she is let in, and is stopped half way through the request")
	if err := alice.Close(ctx); err != nil { // stands for a lease that runs out, which takes longer
		return err
	}
	if err := next(ctx, etcd, w, "bob", 70); err != nil {
		return err
	}
	fmt.Println("alice goes on, and the transaction refuses her:", resume())
	fmt.Println("alice tries again, and the guard refuses her:", w.put(unaware, has-60))
	fmt.Println("alice looks at her lock, and sends nothing:", errors.Unwrap(w.put(held.Context(), has-60)))
	return next(ctx, etcd, w, "carol", 10)
}

// next has another worker take the lock, withdraw an amount and leave.
func next(ctx context.Context, etcd *clientv3.Client, w worker, name string, amount int) error {
	s, err := session.Open(ctx, etcd)
	if err != nil {
		return err
	}
	defer s.Close(ctx)
	had, err := w.withdraw(ctx, s, amount)
	if err != nil {
		return err
	}
	fmt.Println(name, "has the lock, reads", had, "and withdraws", amount)
	return nil
}

// putHalf is put by somebody who is stopped before the body is sent. By then the service has let the request in.
func (w worker) putHalf(ctx context.Context, amount int) (resume func() error, err error) {
	body := &pausing{Reader: bytes.NewReader(encode(amount)), begun: make(chan struct{}), resume: make(chan struct{})}
	answer := make(chan error, 1)
	go func() {
		_, err := w.do(ctx, http.MethodPut, "", body)
		answer <- err
	}()
	select {
	case <-body.begun:
		return func() error { close(body.resume); return <-answer }, nil
	case err := <-answer:
		return nil, fmt.Errorf("the request was not let in: %w", err)
	}
}

type pausing struct {
	io.Reader
	begun, resume chan struct{}
	once          sync.Once
}

func (p *pausing) Read(b []byte) (int, error) {
	p.once.Do(func() {
		close(p.begun)
		<-p.resume
	})
	return p.Reader.Read(b)
}

// What they stand on.

// open returns a database with one account, which has 100, in a file that goes when it is closed. The tokens that a resource has
// seen go with it: a service's own database stays, and so must the etcd that gives the tokens.
func open(ctx context.Context) (db *sql.DB, closeDB func(), err error) {
	dir, err := os.MkdirTemp("", "fencedhttp-")
	if err != nil {
		return nil, nil, err
	}
	file := filepath.Join(dir, "accounts.db")
	db, err = sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err == nil {
		err = migrate(ctx, db)
	}
	closeDB = func() {
		if db != nil {
			_ = db.Close()
		}
		_ = os.RemoveAll(dir)
	}
	if err != nil {
		closeDB()
		return nil, nil, err
	}
	return db, closeDB, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	if err := sqlfence.SQLite.Migrate(ctx, db); err != nil {
		return err
	}
	_, err := db.ExecContext(ctx, `CREATE TABLE account (id TEXT PRIMARY KEY, balance INTEGER NOT NULL);
		INSERT INTO account VALUES ('7', 100)`)
	return err
}

// serve runs the service on a port of its own.
func serve(ctx context.Context, s *service) (url string, shutDown func(), err error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	return "http://" + l.Addr().String(), func() { _ = srv.Close(); <-done }, nil
}

// connect returns a client of the etcd at endpoint, or of a server that it starts in this process.
func connect(ctx context.Context, endpoint string) (client *clientv3.Client, hangUp func(), err error) {
	if endpoint != "" {
		client, err = clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
		return client, func() { _ = client.Close() }, err
	}
	srv, err := server.Start(ctx, server.Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}})
	if err != nil {
		return nil, nil, err
	}
	return srv.Client(), func() { _ = srv.Close(ctx) }, nil
}
