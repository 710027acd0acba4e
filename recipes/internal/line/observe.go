package line

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// Observe yields all keys below prefix, by name: as they are, and again after each change. What changes while the caller is busy comes as one.
// It goes on through compactions, reconnects and restarts, asks again while etcd is away, and reads again each 30 to 60 s in case a watch has
// fallen silent. It ends with an error: when ctx ends, or when etcd
// refuses.
func Observe(ctx context.Context, client *clientv3.Client, prefix string) iter.Seq2[[]*mvccpb.KeyValue, error] {
	return func(yield func([]*mvccpb.KeyValue, error) bool) {
		for now, err := range ObserveAt(ctx, client, prefix) {
			if !yield(now.All, err) {
				return
			}
		}
	}
}

// Keys are all keys below a prefix, by name, as they were at the revision Rev.
type Keys struct {
	Rev int64
	All []*mvccpb.KeyValue
}

// ObserveAt is Observe, and tells of which revision the keys are. Revisions rise. Etcd tells of all that one revision has changed together, so
// that nothing is yielded that has never been so.
func ObserveAt(ctx context.Context, client *clientv3.Client, prefix string) iter.Seq2[Keys, error] {
	return func(yield func(Keys, error) bool) {
		o := observer{client: client, prefix: prefix, yield: yield, again: readAgain}
		pauses := retry.Pauses(ctx)
		for {
			err := o.once(ctx, pauses.Reset)
			switch {
			case errors.Is(err, errEnough):
				return
			case client.Ctx() != nil && client.Ctx().Err() != nil:
				yield(Keys{}, errors.New("the etcd client is closed"))
				return
			case ctx.Err() != nil:
				yield(Keys{}, retry.Why(ctx))
				return
			case !retry.Temporary(err):
				yield(Keys{}, err)
				return
			}
			_ = retry.Sleep(ctx, pauses.NextBackOff())
		}
	}
}

// errEnough says that the caller wants no more.
var errEnough = retry.Permanent(errors.New("enough"))

type observer struct {
	client *clientv3.Client
	prefix string
	yield  func(Keys, error) bool
	told   []*mvccpb.KeyValue // what was yielded last
	any    bool               // something was
	again  time.Duration      // how long a watch is trusted, at least; at most twice as long
}

const readAgain = 30 * time.Second

// once follows one watch as long as that lasts.
func (o *observer) once(ctx context.Context, opened func()) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	changes := o.client.Watch(ctx, o.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	again := time.NewTimer(o.again + rand.N(o.again))
	defer again.Stop()
	var created clientv3.WatchResponse
	ok := false
	select {
	case created, ok = <-changes:
	case <-again.C:
	}
	// If the watch is open, what this read doesn't see comes as an event. If not, the read tells whether etcd refuses.
	limited, stop := context.WithTimeoutCause(ctx, lookWithin, retry.NoAnswer(lookWithin))
	resp, err := o.client.Get(limited, o.prefix, clientv3.WithPrefix())
	err = retry.Answer(limited, err)
	stop()
	if err != nil {
		return err
	}
	if !ok || created.Err() != nil {
		return errLookAgain
	}
	opened()
	keys := &View{Rev: resp.Header.Revision, places: map[string]*mvccpb.KeyValue{}, prefix: o.prefix}
	for _, kv := range resp.Kvs {
		keys.places[string(kv.Key[len(o.prefix):])] = kv
	}
	for {
		if err := o.tell(keys); err != nil {
			return err
		}
		if err := keys.next(changes, again.C); err != nil {
			return err
		}
	}
}

// tell yields the keys, if they are not those that were yielded last.
func (o *observer) tell(keys *View) error {
	now := slices.SortedFunc(maps.Values(keys.places), func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
	same := func(a, b *mvccpb.KeyValue) bool { return a.ModRevision == b.ModRevision && bytes.Equal(a.Key, b.Key) }
	if o.any && slices.EqualFunc(now, o.told, same) {
		return nil
	}
	o.any, o.told = true, now
	if !o.yield(Keys{keys.Rev, now}, nil) {
		return errEnough
	}
	return nil
}

// next waits for a change, and takes all that have come.
func (v *View) next(changes clientv3.WatchChan, again <-chan time.Time) error {
	var resp clientv3.WatchResponse
	var ok bool
	select {
	case resp, ok = <-changes:
	case <-again:
		return errLookAgain
	}
	for {
		if !ok || resp.Err() != nil {
			return errLookAgain
		}
		v.apply(resp.Events)
		select {
		case resp, ok = <-changes:
		default:
			return nil
		}
	}
}
