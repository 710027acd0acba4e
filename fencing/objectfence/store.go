package objectfence

import (
	"context"
	"errors"
)

// ErrConflict says that a conditional write was not done, since the object is not the one that the condition names.
var ErrConflict = errors.New("the object was changed meanwhile")

// Store is where objects are. An adapter for a store's SDK is a few lines. It is used by many goroutines at once.
type Store interface {
	// Get returns what is under key, and its version: its ETag, or its generation. The error Is fs.ErrNotExist if nothing is. It must see
	// all writes that have been acknowledged, as the stores named above do.
	Get(ctx context.Context, key string) (data []byte, version string, err error)

	// Put writes data under key, on condition that what is there has this version, or, if version is "", that nothing is there:
	//
	//	S3, Azure    If-Match: <version>            If-None-Match: *
	//	GCS          ifGenerationMatch=<version>    ifGenerationMatch=0
	//
	// The error Is ErrConflict if the condition doesn't hold, or the store asks to try again because of another write: 412, 409, and S3's 404
	// for If-Match. After any other error the data may have been written, or may still be.
	Put(ctx context.Context, key string, data []byte, version string) error
}
