// Package objectfence guards objects in stores that have conditional writes: S3 and what speaks its protocol, Google Cloud Storage, Azure
// Blob Storage. An object is replaced only if nobody with a larger fencing token has been there before.
//
//	o := objectfence.New(bucket, "reports/index")
//	err := lock.Do(ctx, s, "index", func(ctx context.Context) error {
//		if err := o.Seal(ctx); err != nil { // ctx is that of the hold
//			return err
//		}
//		index, err := o.Read(ctx)
//		...
//		return o.Replace(ctx, changed)
//	})
//
// The store is behind a small interface, [Store], so that no SDK is linked. The example has an adapter for S3 over net/http.
//
// # How it works
//
// The object's first line has the largest tokens that were seen, and the data comes after it:
//
//	{"fence":1,"resource":"lock/index","exclusive":"57","shared":"0","write":"8c5f…"}
//
// A write reads that line, compares, and puts the object on condition that it is still the one that was read. If it isn't, it reads and
// compares again, until it is refused or ctx ends.
//
// The line is in the object, and not in its metadata, because of what the condition compares. The ETag of S3 is a digest of the data: it is
// the same after a change of metadata alone, and the same again when old data comes back, and a late writer would pass. Each line has
// an id of its own, so that no two writes have the same ETag. Who reads the object without this package skips the first line.
//
// An object belongs to one resource, the first that is used with it. Never delete it: with it goes the memory of whom it must refuse.
// Replace it by no data instead, and keep lifecycle rules away from it.
//
// # Large objects
//
// Replace and Seal read the object and send it whole. For what is large, write the data under a name of its own that is never written again, one
// with the token in it for instance, and guard a small object that says which name is in force.
package objectfence
