package keep

import (
	"context"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A key that is held is never rewritten. What must change meanwhile stands beside it: in keys of its name and a '!' and more, on its lease.
// They go with it: its holder deletes the whole range, as the end of the lease does, at one revision.
const beside = "!"

// end is where the range of a key and of those beside it ends: '"' is the next byte after '!'. No key of ours begins like that.
func end(key string) clientv3.OpOption { return clientv3.WithRange(key + `"`) }

// Beside is the name of a key that stands beside another.
func Beside(key, name string) string { return key + beside + name }

// IsBeside reports whether key stands beside another.
func IsBeside(key string) bool {
	return strings.Contains(key[strings.LastIndexByte(key, '/')+1:], beside)
}

// Delete deletes a key and those beside it.
func Delete(key string, opts ...clientv3.OpOption) clientv3.Op {
	return clientv3.OpDelete(key, append(opts, end(key))...)
}

// DeleteBeside deletes those beside a key.
func DeleteBeside(key string) clientv3.Op { return clientv3.OpDelete(key+beside, end(key)) }

// AnyBeside counts those beside a key.
func AnyBeside(key string) clientv3.Op {
	return clientv3.OpGet(key+beside, end(key), clientv3.WithCountOnly())
}

// WatchOwn opens a watch on a key and those beside it.
func (k *Keeper) WatchOwn(ctx context.Context, key string) (*Watch, error) {
	return k.Watch(ctx, key, end(key))
}
