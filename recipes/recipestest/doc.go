// Package recipestest gives tests a real etcd in milliseconds, and ways to break it.
//
//	func TestMain(m *testing.M) { recipestest.Main(m) }
//
//	func TestNightly(t *testing.T) {
//		s, err := session.Open(t.Context(), recipestest.Client(t))
//		…
//	}
//
// One server serves all tests of a test binary, in this process and without waiting for the disk; it starts with the first
// client. Each client sees a part of etcd of its own, so that tests can use the same names at the same time.
//
// # What can go wrong
//
// A server of a test's own (NewServer) is stopped, started on its data, and filled until etcd refuses writes. One in a process of its
// own (NewProcess) is also frozen and killed.
//
// So are the members of a Cluster (NewCluster, NewProcessCluster), which also moves its leader, and cuts members off from each other, in
// both directions or in one. Three of them are there in half a second:
//
//	func TestANewLeader(t *testing.T) {
//		c := recipestest.NewCluster(t, 3)
//		old := c.Leader()
//		… // with c.Client(), or c.Member(old).Client()
//		c.Cut(old)
//		… // what does it do now, while its server still thinks that it leads?
//		c.Mend()
//	}
//
// A Proxy between client and server breaks connections, holds or delays what goes in one direction. Faults lose the answer of a
// client's n-th request, or hold the request back and apply it later, when nobody expects it any more:
//
//	func TestAnUnknownOutcome(t *testing.T) {
//		faults := recipestest.NewFaults(t)
//		client := recipestest.Client(t, faults)
//		for n := 1; ; n++ {
//			lost := faults.DropAnswer(n, recipestest.Reset)
//			… // what the program does; check that it noticed, or that it doesn't matter
//			select {
//			case <-lost.Answered():
//			default:
//				return // there is no n-th request
//			}
//		}
//	}
//
// A Zombie is a holder that was stopped for too long, and writes when somebody else has taken over: does the resource refuse it?
//
// RevokeLeaseOf, Delete and Compact do to etcd what operators and time do. Count tells what a client sends.
package recipestest
