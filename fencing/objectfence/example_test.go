package objectfence_test

import (
	"context"
	"fmt"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/objectfence"
)

// exampleT stands for the test that an example has none of.
type exampleT struct{ end func() }

func (*exampleT) Helper()            {}
func (t *exampleT) Cleanup(f func()) { t.end = f }

// A holder is stopped after it has read the object. Another takes over and writes; then the first wakes up. The adapter for S3, over
// net/http, is the type s3 in the file s3_test.go.
func Example() {
	t := &exampleT{}
	_, bucket := serve(t) // a program: s3{"https://reports.s3.eu-central-1.amazonaws.com", a client that signs}
	defer t.end()
	hold := func(rev int64) context.Context { // lock.Do gives its work such a context
		return fencing.NewContext(context.Background(), fencing.Claim{Resource: "lock/index", Token: fencing.FromRevision(rev)})
	}

	o := objectfence.New(bucket, "index.json")
	stopped, next := hold(41), hold(57)
	fmt.Println("seal:", o.Seal(next)) // before it reads
	fmt.Println("next:", o.Replace(next, []byte(`{"reports":31}`)))
	fmt.Println("late:", o.Replace(stopped, []byte(`{"reports":30}`)))
	data, err := o.Read(next)
	fmt.Println(string(data), err)
	// Output:
	// seal: <nil>
	// next: <nil>
	// late: fencing "lock/index": stale fencing token: 41 was presented, 57 was seen
	// {"reports":31} <nil>
}
