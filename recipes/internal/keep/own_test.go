package keep

import (
	"testing"
	"testing/synctest"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestItsOwnReleaseIsNoSignOfALoss: the watch on the own key is open until the release is done, and sees it. Nobody needs to ask etcd for the
// lease then, least of all as often as there are holds.
func TestItsOwnReleaseIsNoSignOfALoss(t *testing.T) {
	for _, released := range []bool{true, false} {
		bubble(t, func(b *bench) {
			l := b.open()
			b.withKeys(nil)
			h := b.holdKey(l, "k", 7)
			if released {
				h.End(ErrReleased)
			}
			events := make(chan clientv3.WatchResponse, 1)
			events <- clientv3.WatchResponse{Events: []*clientv3.Event{{Kv: &mvccpb.KeyValue{Key: []byte("k"), ModRevision: 9}}}}
			close(events)
			h.listen(h.keys[0], &Watch{C: events, cancel: func() {}})
			synctest.Wait()
			if asked := len(b.etcd.at("renew")) > 0; asked == released {
				t.Errorf("released: %v, and the lease was asked for: %v", released, asked)
			}
		})
	}
}
