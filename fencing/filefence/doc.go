// Package filefence guards files of one machine: a file is replaced, or appended to, only if nobody with a larger fencing token has
// been there before.
//
//	f := filefence.New("/var/lib/app/state.json")
//	err := lock.Do(ctx, s, "state", func(ctx context.Context) error {
//		if err := f.Seal(ctx); err != nil { // ctx is that of the hold
//			return err
//		}
//		state, err := f.Read(ctx)
//		...
//		return f.Replace(ctx, changed)
//	})
//
// # How it works
//
// Beside the file state.json are three kinds of others:
//
//	state.json.fence         the largest tokens seen, of each mode, and the resource: {"resource":"lock/state","exclusive":"57","shared":"0"}
//	state.json.fence.lock    empty; who reads or raises the tokens has it locked, by flock(2)
//	state.json.fence.*.tmp   what is being written; a larger token removes those that a killed process has left
//
// Never delete the first two, also when the file itself is deleted: with them the file forgets whom it must refuse.
//
// Under the lock, a write compares its token, raises it in the .fence file (by a synced file and a rename, and syncs the
// directory), and only then touches the data. So whenever a process is killed, or the power fails, the tokens are never behind the
// data, and a file that is replaced is the old one or the new one, whole. [File.Append] can't promise the latter: see there.
//
// A file belongs to one resource, the first that is used with it: claims on another are refused with fencing.ErrBadClaim, for their
// tokens have no order. Name a file by one path. Symbolic links are refused; a hard link is a file of its own.
//
// # What it doesn't do
//
// It guards against holders that come late, not against programs that write the file without asking.
//
// The lock is held for a few system calls, and not while the caller produces data. A process that is stopped just then blocks all others
// until it goes on or is killed; they wait as long as their ctx allows.
//
// It needs flock(2) and a file system that has it: Linux, macOS and the BSDs, on a local disk. Elsewhere every call returns an error that Is
// errors.ErrUnsupported. It is not for network file systems.
package filefence
