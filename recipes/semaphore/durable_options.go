package semaphore

import (
	"errors"
	"fmt"
	"maps"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/semaphore/internal/durable"
)

// A DurableOption sets something about one call of a durable semaphore.
type DurableOption func(*durableOptions)

type durableOptions struct {
	durable.Own

	labels map[string]string
	groups map[string]int
	twice  error // a group that was given twice
}

// If adds conditions to the transaction of Acquire, TryAcquire, Release, Remove or SetLimit. If one does not hold at the commit, nothing is changed, and the
// error Is ErrCondition. They are not looked at where there is nothing to change: by who holds already, or has released already. A Remove
// of who holds nothing writes, and so looks at them. Acquire looks at them when there is room, and does not wait for them.
func If(cmps ...clientv3.Cmp) DurableOption {
	return func(o *durableOptions) { o.Cmps = append(o.Cmps, cmps...) }
}

// Then adds operations to the same transaction, an audit record for instance: they are done with the change, at its revision and once, or not at
// all. Where there is nothing to change they are not done. They must not touch the semaphore's own keys; etcd allows 128 operations and
// 1.5 MiB in all, of which a thousand holders with long labels may take 1.4 MiB.
func Then(ops ...clientv3.Op) DurableOption {
	return func(o *durableOptions) { o.Ops = append(o.Ops, ops...) }
}

// Labels are kept with the permit that Acquire or TryAcquire grants, for people to read and for group limits: at most 1 KiB as JSON, in UTF-8, and no secrets.
// The labels of a permit never change.
func Labels(labels map[string]string) DurableOption {
	labels = maps.Clone(labels)
	return func(o *durableOptions) { o.labels = labels }
}

// Group has SetLimit allow at most so many holders with the same value of a label, whatever the value: Group("rack", 1) is one machine a rack. It may be given for
// several labels. Holders without the label count as having the empty value.
func Group(label string, most int) DurableOption {
	return func(o *durableOptions) {
		if o.groups == nil {
			o.groups = map[string]int{}
		}
		if _, ok := o.groups[label]; ok {
			o.twice = fmt.Errorf("the group limit of label %q is there twice", label)
		}
		o.groups[label] = most
	}
}

func durableOpts(opts []DurableOption) *durableOptions {
	o := &durableOptions{}
	for _, opt := range opts {
		if opt != nil {
			opt(o)
		}
	}
	return o
}

// check refuses what can't be, and options of other calls.
func (o *durableOptions) check(mayLabel, mayGroup bool) error {
	errs := []error{o.twice, durable.CheckLabels(o.labels), checkOps(o.Ops)}
	if o.labels != nil && !mayLabel {
		errs = append(errs, errors.New("labels are for Acquire and TryAcquire"))
	}
	if o.groups != nil && !mayGroup {
		errs = append(errs, errors.New("groups are for SetLimit"))
	}
	return errors.Join(errs...)
}

// checkOps refuses what clientv3 panics at.
func checkOps(ops []clientv3.Op) error {
	for _, op := range ops {
		switch {
		case op.IsTxn():
			_, then, els := op.Txn()
			if err := errors.Join(checkOps(then), checkOps(els)); err != nil {
				return err
			}
		case !op.IsGet() && !op.IsPut() && !op.IsDelete():
			return errors.New("an operation given with Then is none: make them with clientv3.OpPut, OpGet, OpDelete or OpTxn")
		}
	}
	return nil
}
