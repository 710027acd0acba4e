package grpcfence

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/stile-dev/stile/fencing"
)

// Domain is that of the ErrorInfo in a refusal's status.
const Domain = "github.com/stile-dev/stile/fencing"

// retryAfter is when to ask again after a gate gave no answer.
const retryAfter = time.Second

// The errors that have no sentinel in package fencing, since no claim is at fault.
var (
	errUnknown     = errors.New("nothing is guarded by that name")
	errUnavailable = errors.New("the gate gave no answer, and nothing was done")
)

// kind is a reason to refuse, and how it is told over gRPC.
type kind struct {
	reason string
	code   codes.Code
	err    error
}

// kinds has the reasons in order of asking.
var kinds = []kind{
	{"STALE_TOKEN", codes.FailedPrecondition, fencing.ErrStale},
	{"SHARED_CLAIM", codes.PermissionDenied, fencing.ErrShared},
	{"BAD_CLAIM", codes.InvalidArgument, fencing.ErrBadClaim},
	{"NO_CLAIM", codes.InvalidArgument, fencing.ErrNoClaim},
	{"UNKNOWN_RESOURCE", codes.NotFound, errUnknown},
}

var unavailable = kind{"GATE_UNAVAILABLE", codes.Unavailable, errUnavailable}

// refusal is a status that is also an error of package fencing.
type refusal struct {
	status *status.Status
	cause  error
}

func (r *refusal) Error() string              { return r.status.Message() }
func (r *refusal) Unwrap() error              { return r.cause }
func (r *refusal) GRPCStatus() *status.Status { return r.status }

// refuse tells err of a call about resource. The text of a gate's own failure stays here.
func refuse(ctx context.Context, err error, resource string) *refusal {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.refuse(err, resource)
		}
	}
	if ended := ctx.Err(); ended != nil {
		return &refusal{status: status.FromContextError(ended), cause: ended}
	}
	return unavailable.refuse(errUnavailable, resource, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
}

func (k kind) refuse(err error, resource string, more ...protoadapt.MessageV1) *refusal {
	info := &errdetails.ErrorInfo{Reason: k.reason, Domain: Domain, Metadata: map[string]string{}}
	if resource != "" {
		info.Metadata["resource"] = strings.ToValidUTF8(resource, "\uFFFD") // otherwise the whole detail would be lost
	}
	if stale, ok := errors.AsType[*fencing.StaleError](err); ok {
		err = stale
		info.Metadata["seen"], info.Metadata["presented"] = stale.Seen.String(), stale.Presented.String()
	}
	plain := status.New(k.code, err.Error())
	detailed, bad := plain.WithDetails(append(more, info)...)
	if bad != nil {
		return &refusal{status: plain, cause: err}
	}
	return &refusal{status: detailed, cause: err}
}

// understand returns err, as an error of package fencing too if it is a guard's refusal of sent.
func understand(err error, sent fencing.Claim) error {
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	for _, detail := range st.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != Domain {
			continue
		}
		if cause := causeOf(info, st.Code(), sent); cause != nil {
			return &refusal{status: st, cause: cause}
		}
	}
	return err
}

// causeOf is nil if info says nothing that package fencing has an error for.
func causeOf(info *errdetails.ErrorInfo, code codes.Code, sent fencing.Claim) error {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.reason == info.GetReason() && k.code == code })
	switch {
	case i < 0 || errors.Is(kinds[i].err, errUnknown):
		return nil
	case errors.Is(kinds[i].err, fencing.ErrStale):
		return staleOf(info.GetMetadata(), sent)
	default:
		return kinds[i].err
	}
}

// staleOf is a *fencing.StaleError, or nil if what was told isn't about the claim that was sent: a service
// may pass on what it was told itself, of a hold of its own, by a service behind it.
func staleOf(told map[string]string, sent fencing.Claim) error {
	seen, err := fencing.Parse(told["seen"])
	if err != nil || told["resource"] != sent.Resource || told["presented"] != sent.Token.String() || sent.Token.Compare(seen) >= 0 {
		return nil
	}
	return &fencing.StaleError{Resource: sent.Resource, Seen: seen, Presented: sent.Token}
}
