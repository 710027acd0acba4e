package lock_test

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/answers"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

func lostAnswersOfRelease() map[string]func(*answers.Case) {
	release := func(s *subject, held *lock.Held) {
		var err error
		s.Call(func(ctx context.Context) { err = held.Release(ctx) })
		if err != nil && !(errors.Is(err, session.ErrUnknownOutcome) && s.Form.Hurried) {
			s.Errorf("Release = %v", err)
		}
		if err := held.Err(); !errors.Is(err, session.ErrReleased) {
			s.Errorf("Err() after Release = %v, want ErrReleased", err)
		}
		if again := held.Release(s.Context()); !errors.Is(again, err) {
			s.Errorf("Release again = %v, want what the first returned, %v", again, err)
		}
	}
	return map[string]func(*answers.Case){
		"nobody waits": withSessions(func(s *subject) {
			release(s, s.gets(s.session))
			s.Reach(answers.Got)
			s.end()
		}),
		"somebody waits": withSessions(func(s *subject) {
			held := s.gets(s.session)
			got, _ := s.waiter()
			release(s, held)
			next := s.next(got)
			s.Reach(answers.Got)
			s.holds(next)
			s.release(next)
			s.end()
		}),
		"after waiting": withSessions(func(s *subject) { // then the mark of whom it got the lock from is to be deleted
			held := s.succeeds()
			got, _ := s.waiter()
			release(s, held)
			next := s.next(got)
			s.Reach(answers.Got)
			s.holds(next)
			s.release(next)
			s.end()
		}),
	}
}

// succeeds has the subject get the lock from the rival.
func (s *subject) succeeds() *lock.Held {
	s.Helper()
	first := s.gets(s.rival)
	got := make(chan *lock.Held, 1)
	go func() {
		held, err := lock.Acquire(context.Background(), s.session, "x")
		if err != nil {
			s.Error(err)
		}
		got <- held
	}()
	s.waiters(1)
	s.release(first)
	return s.next(got)
}

// lostAnswersOfTxn: it is sent once. What arrives later is decided by whether the lock is still held then.
func lostAnswersOfTxn() map[string]func(*answers.Case) {
	commit := func(build func(clientv3.Txn) clientv3.Txn) func(*answers.Case) {
		return withSessions(func(s *subject) {
			held := s.gets(s.session)
			var err error
			s.Call(func(ctx context.Context) { _, err = build(held.Txn(ctx)).Commit() })
			s.Calm() // it leaves nothing to the background
			want := int64(1)
			switch {
			case err == nil:
			case s.Form.Run == 0 || !errors.Is(err, session.ErrUnknownOutcome):
				s.Errorf("Commit = %v", err)
			case s.Form.Late:
				want = 0
			}
			s.written(want)
			if s.Form.Late && s.Form.Moment == answers.Got {
				s.Reach(answers.Got)
				s.written(1)
				want = 1
			}
			s.holds(held)
			s.release(held)
			s.last = func() { s.written(want) }
			s.end()
		})
	}
	missing := clientv3.Compare(clientv3.CreateRevision("data"), "=", 0)
	there := clientv3.Compare(clientv3.CreateRevision("data"), ">", 0)
	put := clientv3.OpPut("data", "v")
	return map[string]func(*answers.Case){
		"Then":     commit(func(txn clientv3.Txn) clientv3.Txn { return txn.Then(put) }),
		"If, Then": commit(func(txn clientv3.Txn) clientv3.Txn { return txn.If(missing).Then(put) }),
		"If, Else": commit(func(txn clientv3.Txn) clientv3.Txn { return txn.If(there).Else(put) }),
	}
}

// written fails unless the data was written so often.
func (s *subject) written(want int64) {
	s.Helper()
	resp, err := s.Others.Get(s.Context(), "data")
	if err != nil {
		s.Fatal(err)
	}
	got := int64(0)
	for _, kv := range resp.Kvs {
		got = kv.Version
	}
	if got != want {
		s.Errorf("the data was written %d times, want %d", got, want)
	}
}

func lostAnswersOfClose() map[string]func(*answers.Case) {
	closed := func(s *subject, err error) {
		s.Helper()
		if s.unsure = errors.Is(err, session.ErrUnknownOutcome); err != nil && (!s.unsure || s.Form.Run == 0) {
			s.Errorf("Close = %v", err)
		}
		s.Reach(answers.Got)
	}
	ended := func(s *subject, held *lock.Held) {
		s.Helper()
		if err := held.Err(); !errors.Is(err, session.ErrClosed) {
			s.Errorf("Err() of a hold = %v, want ErrClosed", err)
		}
	}
	return map[string]func(*answers.Case){
		"with a hold": withSessions(func(s *subject) {
			held := s.gets(s.session)
			s.Call(func(ctx context.Context) { closed(s, s.session.Close(ctx)) })
			ended(s, held)
			s.end()
		}),
		"with a hold, and somebody waits": withSessions(func(s *subject) {
			held := s.gets(s.session)
			got, _ := s.waiter()
			s.Call(func(ctx context.Context) { closed(s, s.session.Close(ctx)) })
			ended(s, held)
			next := s.next(got)
			s.holds(next)
			s.release(next)
			s.end()
		}),
		"with a waiter": withSessions(func(s *subject) {
			first := s.gets(s.rival)
			got := make(chan error, 1)
			go func() { _, err := lock.Acquire(context.Background(), s.session, "x"); got <- err }()
			s.waiters(1)
			s.Call(func(ctx context.Context) { closed(s, s.session.Close(ctx)) })
			if err := <-got; !errors.Is(err, session.ErrClosed) {
				s.Errorf("Acquire = %v, want ErrClosed", err)
			}
			s.waiters(0)
			s.holds(first)
			s.release(first)
			s.end()
		}),
		"while the lock is acquired": withSessions(func(s *subject) {
			s.Racy = true
			got := make(chan error, 1)
			s.Call(func(ctx context.Context) {
				go func() { _, err := lock.Acquire(context.Background(), s.session, "x"); got <- err }()
				s.Eventually("it joins", func() bool { return s.Requests() > 0 })
				closed(s, s.session.Close(ctx))
			})
			if err := <-got; err != nil && !errors.Is(err, session.ErrClosed) {
				s.Errorf("Acquire = %v, want nil or ErrClosed", err)
			}
			s.end()
		}),
	}
}

func lostAnswersOfInspect() map[string]func(*answers.Case) {
	// look is right if it finds the holder, or nobody.
	look := func(s *subject, holder *lock.Held, look func(ctx context.Context) (*lock.Holder, error)) {
		s.Helper()
		s.bounded = true
		var got *lock.Holder
		var err error
		s.Call(func(ctx context.Context) { got, err = look(ctx) })
		switch {
		case err != nil:
			s.excused(err)
		case (got == nil) != (holder == nil) || holder != nil && got.Token != holder.Token():
			s.Errorf("the holder is %+v, want %+v", got, holder)
		}
		s.Reach(answers.Got)
		if holder != nil {
			s.holds(holder)
			s.release(holder)
		}
		s.end()
	}
	inspect := func(s *subject) func(context.Context) (*lock.Holder, error) {
		return func(ctx context.Context) (*lock.Holder, error) {
			st, err := lock.Inspect(ctx, s.Client, "x")
			return st.Holder, err
		}
	}
	list := func(s *subject) func(context.Context) (*lock.Holder, error) {
		return func(ctx context.Context) (*lock.Holder, error) {
			all, err := lock.List(ctx, s.Client)
			if len(all) == 0 {
				return nil, err
			}
			return all[0].Holder, err
		}
	}
	return map[string]func(*answers.Case){
		"free": withSessions(func(s *subject) { look(s, nil, inspect(s)) }),
		"held": withSessions(func(s *subject) { look(s, s.gets(s.rival), inspect(s)) }),
		"tail names a dead one": withSessions(func(s *subject) {
			s.crash(s.gets(s.other()))
			look(s, nil, inspect(s))
		}),
		"List": withSessions(func(s *subject) { look(s, s.gets(s.rival), list(s)) }),
		"List, tail names a dead one": withSessions(func(s *subject) {
			s.crash(s.gets(s.other()))
			look(s, nil, list(s))
		}),
	}
}
