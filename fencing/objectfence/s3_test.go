package objectfence_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/stile-dev/stile/fencing/objectfence"
)

// s3 is a bucket of Amazon's S3, over net/http. Its client signs the requests, by a http.RoundTripper (AWS Signature Version 4).
type s3 struct {
	bucket string // "https://<bucket>.s3.<region>.amazonaws.com"
	client *http.Client
}

// maxObject bounds what is read into memory.
const maxObject = 16 << 20

func (b s3) Get(ctx context.Context, key string) (data []byte, version string, err error) {
	resp, err := b.send(ctx, http.MethodGet, key, nil, nil)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		data, err = io.ReadAll(http.MaxBytesReader(nil, resp.Body, maxObject))
		return data, resp.Header.Get("ETag"), err
	case http.StatusNotFound:
		return nil, "", fs.ErrNotExist
	}
	return nil, "", fmt.Errorf("get %s: %s", key, resp.Status)
}

func (b s3) Put(ctx context.Context, key string, data []byte, version string) error {
	condition := http.Header{"If-Match": {version}}
	if version == "" {
		condition = http.Header{"If-None-Match": {"*"}}
	}
	resp, err := b.send(ctx, http.MethodPut, key, data, condition)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusPreconditionFailed, http.StatusConflict, http.StatusNotFound:
		return fmt.Errorf("put %s: %w: %s", key, objectfence.ErrConflict, resp.Status)
	}
	return fmt.Errorf("put %s: %s", key, resp.Status)
}

func (b s3) send(ctx context.Context, method, key string, data []byte, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, b.bucket+"/"+url.PathEscape(key), bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	return b.client.Do(req)
}

// service does what S3 does with conditional requests on one bucket.
type service struct {
	mu      sync.Mutex
	objects map[string][]byte
	sent    map[string]int // by method
	faults  []fault        // of the PUTs to come, in order
}

// A fault is what happens to a PUT.
type fault int

const (
	none     fault = iota
	conflict       // 409, as for another write that is going on
	lost           // it is done, and the connection breaks
	before         // the connection breaks, and it isn't done
	refused        // 403
)

// serve is a service with an adapter for it.
func serve(tb interface {
	Helper()
	Cleanup(f func())
},
) (*service, s3) {
	tb.Helper()
	s := &service{objects: map[string][]byte{}, sent: map[string]int{}}
	server := httptest.NewServer(s)
	tb.Cleanup(server.Close)
	return s, s3{server.URL, server.Client()}
}

func etag(data []byte) string {
	sum := md5.Sum(data)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[r.Method]++
	if r.Method == http.MethodPut {
		s.put(w, r, body)
		return
	}
	data, ok := s.objects[r.URL.Path]
	if !ok {
		http.Error(w, "NoSuchKey", http.StatusNotFound)
		return
	}
	w.Header().Set("ETag", etag(data))
	_, _ = w.Write(data)
}

func (s *service) put(w http.ResponseWriter, r *http.Request, body []byte) {
	f := none
	if len(s.faults) > 0 {
		f, s.faults = s.faults[0], s.faults[1:]
	}
	old, there := s.objects[r.URL.Path]
	switch {
	case f == before:
		panic(http.ErrAbortHandler)
	case f == refused:
		http.Error(w, "AccessDenied", http.StatusForbidden)
		return
	case f == conflict:
		http.Error(w, "ConditionalRequestConflict", http.StatusConflict)
		return
	case r.Header.Get("If-None-Match") == "*" && there, r.Header.Get("If-Match") != "" && there && r.Header.Get("If-Match") != etag(old):
		http.Error(w, "PreconditionFailed", http.StatusPreconditionFailed)
		return
	case r.Header.Get("If-Match") != "" && !there:
		http.Error(w, "NoSuchKey", http.StatusNotFound)
		return
	}
	s.objects[r.URL.Path] = body
	if f == lost {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("ETag", etag(body))
}

func (s *service) fail(faults ...fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults
}

// count is how many requests of a method there were.
func (s *service) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent[method]
}

func (s *service) object(tb testing.TB, key string) string {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.objects["/"+key])
}
