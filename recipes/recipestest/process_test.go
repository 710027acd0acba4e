package recipestest

import (
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestAFrozenServer: it answers nothing, keeps its connections, and then goes on with what was asked meanwhile.
func TestAFrozenServer(t *testing.T) {
	srv := NewProcess(t)
	f := NewFaults(t)
	c := srv.Client(f)
	before := put(t, c, "x", "1")
	srv.Freeze()
	_, err := c.Get(within(t, soon), "x")
	wantTold(t, err, Silence)
	sent := f.Sent()
	done := make(chan int64, 1)
	go func() {
		resp, err := c.Put(within(t, late), "x", "2")
		if err != nil {
			t.Errorf("what was asked of a frozen server: %v", err)
			resp = &clientv3.PutResponse{}
		}
		done <- resp.Header.GetRevision()
	}()
	eventually(t, "the put is sent", func() bool { return f.Sent() == sent+1 })
	srv.Thaw()
	if got := <-done; got != before+1 {
		t.Errorf("after the thaw: revision %d, want %d", got, before+1)
	}
	wantKey(t, c, "x", "2", 2)
	srv.Freeze() // again, and stopped so
}

// TestAKilledServer: what it had answered is there when it starts again at the same place.
func TestAKilledServer(t *testing.T) {
	srv := NewProcess(t)
	endpoint := srv.Endpoint()
	put(t, srv.Client(), "x", "1")
	for i, frozen := range []bool{false, true} {
		c := srv.Client()
		put(t, c, "y", "v")
		if frozen {
			srv.Freeze()
		}
		srv.Kill()
		if _, err := c.Put(within(t, soon), "x", "2"); err == nil {
			t.Error("a killed server answered")
		}
		srv.Start()
		wantKey(t, srv.Client(), "x", "1", 1)
		wantKey(t, srv.Client(), "y", "v", int64(i+1))
	}
	srv.Stop()
	srv.Start()
	wantKey(t, srv.Client(), "x", "1", 1)
	if got := srv.Endpoint(); got != endpoint {
		t.Errorf("it is at %s, want %s as before", got, endpoint)
	}
}

func TestOnlyWhatRunsCanBeFrozen(t *testing.T) {
	fake := &fakeT{TB: t}
	srv := NewProcess(fake)
	srv.Freeze()
	wantFailure := func(what string, act func()) {
		t.Helper()
		if fake.failure(act) == "" {
			t.Errorf("%s doesn't fail the test", what)
		}
	}
	wantFailure("freezing what is frozen", srv.Freeze)
	srv.Stop()
	wantFailure("freezing what is stopped", srv.Freeze)
	wantFailure("thawing what is stopped", srv.Thaw)
	wantFailure("killing what is stopped", srv.Kill)
}
