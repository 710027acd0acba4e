// Package recipestest gives tests a real etcd in milliseconds.
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
package recipestest
