package keep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// A Revocation is somebody's wish that a hold end, or that a waiter leave. Package session documents it.
type Revocation struct {
	Act    string    `json:"act"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Grace  Seconds   `json:"grace_s,omitempty"`
	ID     string    `json:"of,omitempty"` // of the acquisition that it is about
	Host   string    `json:"host,omitempty"`
	PID    int       `json:"pid,omitempty"`
}

// What is asked.
const (
	ActRevoke = "revoke"
	ActForce  = "force"
	ActRemove = "remove"
)

// Seconds is a duration that JSON has in seconds.
type Seconds time.Duration

// MarshalJSON writes seconds.
func (s Seconds) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).Seconds()) }

// UnmarshalJSON reads seconds.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	var f float64
	err := json.Unmarshal(b, &f)
	if *s = Seconds(f * float64(time.Second)); f >= math.MaxInt64/float64(time.Second) {
		*s = math.MaxInt64
	}
	return err
}

// revokeKey is beside the key of the hold that is asked for.
const revokeKey = "revoke"

// RevokeKey is where a wish for the hold on key stands.
func RevokeKey(key string) string { return Beside(key, revokeKey) }

// ReadRevocation reads a wish, as it stands in etcd. One that can't be read is to be obeyed at once.
func ReadRevocation(kv *mvccpb.KeyValue) Revocation {
	var r Revocation
	_ = json.Unmarshal(kv.Value, &r)
	return r
}

// RevokedError says that a hold was asked for, and has ended at the end of the grace; or that a waiter was taken out of the line.
type RevokedError struct{ Revocation }

func (e *RevokedError) Error() string {
	text := "revoked"
	if e.Act == ActRemove {
		text = ErrRemoved.Error()
	}
	if e.By != "" {
		text += " by " + e.By
	}
	if e.Reason != "" {
		text += fmt.Sprintf(": %q", e.Reason)
	}
	return text
}

// Is makes it an ErrLost: the hold was taken away. Of a waiter it is an ErrRemoved.
func (e *RevokedError) Is(target error) bool {
	if e.Act == ActRemove {
		return errors.Is(ErrRemoved, target)
	}
	return errors.Is(ErrLost, target)
}

// ending is how a hold may end by itself: when its longest time is over, or when somebody has asked for it. hold.mu guards it.
type ending struct {
	asked  chan struct{} // closed when somebody has asked for it
	wish   *Revocation
	at     time.Time // when it ends, zero if it doesn't
	timer  *time.Timer
	joined bool // work is: what ends by itself is given back when that has returned
}

// Revoking is closed when somebody has asked for the hold.
func (h *Hold) Revoking() <-chan struct{} { return h.ending.asked }

// Revocation is what was asked, nil if nothing was.
func (h *Hold) Revocation() *Revocation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ending.wish
}

// RevokingIn is Revoking of the hold that ctx comes from: of the last, if it comes from several. Nil if it comes from none.
func RevokingIn(ctx context.Context) <-chan struct{} {
	holds := holdsIn(ctx)
	if len(holds) == 0 {
		return nil
	}
	return holds[len(holds)-1].Revoking()
}

// ask hears that somebody wants the hold back. Of several wishes the one with the earliest end counts.
func (h *Hold) ask(kv *mvccpb.KeyValue) {
	r := ReadRevocation(kv)
	if h.note(&r); r.Grace <= 0 {
		h.yield(&RevokedError{r}) // before what comes next is heard
	}
}

func (h *Hold) note(r *Revocation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return
	}
	if h.ending.wish == nil {
		close(h.ending.asked)
	}
	if sooner := h.endsIn(max(0, time.Duration(r.Grace)), &RevokedError{*r}); sooner || h.ending.wish == nil {
		h.ending.wish = r
	}
}

// endsIn has the hold end by itself, unless it does so earlier; then it is false. Its mutex is held.
func (h *Hold) endsIn(d time.Duration, why error) bool {
	at := time.Now().Add(d)
	if !h.ending.at.IsZero() && !at.Before(h.ending.at) {
		return false
	}
	if h.ending.timer != nil {
		h.ending.timer.Stop()
	}
	h.ending.at = at
	h.ending.timer = time.AfterFunc(d, func() { h.yield(why) })
	return true
}

// yield ends the hold and gives it back: at once, or, if work is joined, when that has returned.
func (h *Hold) yield(why error) {
	if h.ctx.Err() != nil {
		return
	}
	h.End(why)
	h.mu.Lock()
	joined := h.ending.joined
	h.mu.Unlock()
	if !joined {
		h.lease.keeper.Go(h.lease, func(ctx context.Context) { _ = h.release(ctx) })
	}
}

// yielded reports whether the hold has ended by itself: it is to be given back like one that was released.
func yielded(why error) bool {
	_, revoked := errors.AsType[*RevokedError](why)
	return revoked || errors.Is(why, ErrMaxHold)
}
