package keep

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// TestWaitersReadAgain: whoever waits gets the states of its keys every 30 to 60 s, in few Txns, whatever watches say; and nobody is read
// for who doesn't wait any more.
func TestWaitersReadAgain(t *testing.T) {
	bubble(t, func(b *bench) {
		kv := b.withKeys(map[string]int64{})
		end, err := b.Begin()
		if err != nil {
			t.Fatal(err)
		}
		var waiting []*Reread
		for i := range 120 { // two keys each: more than one Txn may read
			key := fmt.Sprint("k", i)
			kv.set(key, int64(i+1))
			waiting = append(waiting, b.Reread(key, "gone"))
		}
		for round := range 8 {
			asked := time.Now()
			for i, r := range waiting {
				states := <-r.C
				if len(states) != 2 || states[0].GetModRevision() != int64(i+1) || states[1] != (*mvccpb.KeyValue)(nil) {
					t.Fatalf("waiter %d: %v, want its key and none", i, states)
				}
			}
			if took := time.Since(asked); took < rereadAfter || took > 2*rereadAfter {
				t.Errorf("it took %v, want 30 to 60 s", took)
			}
			if n := kv.sent(); n != 3*(round+1) {
				t.Errorf("%d Txns in %d rounds to read 240 keys, want 3 each", n, round+1)
			}
		}
		for _, r := range waiting[1:] {
			r.Stop()
		}
		<-waiting[0].C
		waiting[0].Stop()
		if n := kv.sent(); n != 25 {
			t.Errorf("%d Txns, want one more for the one who still waits", n)
		}
		time.Sleep(3 * rereadAfter)
		if n := kv.sent(); n != 25 {
			t.Errorf("%d Txns while nobody waits", n)
		}
		end()
	})
}

// TestRereadingEndsWithTheSession: the one who reads is not waited for longer than Close takes.
func TestRereadingEndsWithTheSession(t *testing.T) {
	bubble(t, func(b *bench) {
		b.withKeys(map[string]int64{})
		r := b.Reread("k")
		defer r.Stop()
		if err := b.Close(context.Background()); err != nil {
			t.Errorf("Close = %v", err)
		}
		if at := time.Since(b.clock.start); at != 0 {
			t.Errorf("it took %v, want no time", at)
		}
	})
}
