package fakeetcd

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
)

// TestAgreesWithEtcdOnOrder: every order with every limit. (Without a named order etcd limits by key, and sorts then.)
func TestAgreesWithEtcdOnOrder(t *testing.T) {
	fake := New(Options{})
	defer fake.Close()
	sides := []*side{{client: recipestest.Client(t)}, {client: fake.Connect("it", Direct{}).Client()}}
	for _, s := range sides {
		for i, key := range []string{"d", "a", "c", "b", "c", "a", "c"} {
			resp, err := s.client.Put(t.Context(), key, fmt.Sprint((7*i+3)%5))
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				s.base = resp.Header.Revision - 1
			}
		}
	}
	for target := clientv3.SortByKey; target <= clientv3.SortByValue; target++ {
		for order := clientv3.SortNone; order <= clientv3.SortDescend; order++ {
			for limit := range int64(4) {
				for _, bound := range []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithMinModRev(1)} {
					var got [2]string
					for i, s := range sides {
						resp, err := s.client.Get(t.Context(), "", clientv3.WithPrefix(), clientv3.WithSort(target, order), clientv3.WithLimit(limit), bound)
						if err != nil {
							t.Fatal(err)
						}
						got[i] = s.got((*pb.RangeResponse)(resp))
					}
					if diff := cmp.Diff(got[0], got[1]); diff != "" {
						t.Errorf("by %v, order %v, limit %d: etcd and the fake differ (-etcd +fake):\n%s", target, order, limit, diff)
					}
				}
			}
		}
	}
}
