// Package stilefx wires stile's sessions, and the tasks that use them, into an fx application.
//
//	fx.New(
//		stilefx.Module(clientv3.Config{Endpoints: []string{"http://127.0.0.1:2379"}}),
//		stilefx.Run("nightly report", func(ctx context.Context, s *session.Session) error {
//			return lock.Do(ctx, s, "reports/nightly", writeReport)
//		}),
//	).Run()
//
// Elected runs a task only while this process leads an election.
//
// With package serverfx the application brings its own server:
//
//	fx.New(serverfx.Server(server.Config{DataDir: dir}), stilefx.Session(), stilefx.Run(…)).Run()
//
// It is wiring and nothing else: the constructors are clientv3.New, session.New and server.New, which anybody can call
// without fx. It does not link etcd's server; serverfx does.
//
// # Order
//
// fx starts in the order of dependencies and stops in reverse: server, client, session, tasks; then tasks, session,
// client, server. So a task has ended (and given back what it held) before its session closes, a session gives up its
// lease while there is a server to tell, and the server finds no client left to wait for.
//
// # Time
//
// fx gives all hooks one deadline to start and one to stop, 15 s by default. When it passes, the hooks that are left
// don't run at all. What waits here therefore ends a second before (a quarter of the time, if that is less): a task that
// doesn't end is named in the error, and the session behind it is still closed.
package stilefx
