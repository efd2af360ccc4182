// Package problem is how the HTTP API says that something is wrong: application/problem+json, RFC 9457.
package problem

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// ContentType is that of a problem's body.
const ContentType = "application/problem+json"

// Problem is what is wrong, and what to do about it.
type Problem struct {
	Type   string `json:"type"`            // about:blank: the status says it all
	Title  string `json:"title"`           // the status in words
	Status int    `json:"status"`          // HTTP's
	Detail string `json:"detail"`          // never holds a secret or a value of an event
	Field  string `json:"field,omitempty"` // the parameter or member that is wrong
	Reason string `json:"reason,omitempty"`
	// Similar are the accounts that a new one would be confused with.
	Similar []Account `json:"similar,omitempty"`
}

// Account is one that is there already.
type Account struct {
	ID     uuid.UUID `json:"id"`
	Name   string    `json:"name"`
	Domain string    `json:"domain,omitempty"`
}

// fieldError is an error about one parameter or member.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string { return e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// Field says that err is about one parameter or member: a Permanent fault, Malformed where err has no reason.
func Field(name string, err error) error {
	if !fault.IsPermanent(err) {
		err = fault.Permanent(fault.Malformed, err)
	}
	return &fieldError{name, err}
}

// similarError is an error because of what is there already.
type similarError struct {
	accounts []Account
	err      error
}

func (e *similarError) Error() string { return e.err.Error() }
func (e *similarError) Unwrap() error { return e.err }

// Similar says which accounts are in the way: err should say how to insist.
func Similar(all []Account, err error) error { return &similarError{all, err} }

// shownError is an error whose text is for the reader, whatever its status.
type shownError struct{ err error }

func (e *shownError) Error() string { return e.err.Error() }
func (e *shownError) Unwrap() error { return e.err }

// Shown says that the reader is to see err's text although its status is 500 or more: it names no host and no query.
func Shown(err error) error { return &shownError{err} }

// From gives the problem that an error is. What is Transient or has no reason is 503 or 500, and its text is not shown:
// it may name hosts and queries.
func From(err error) Problem {
	var field *fieldError
	name := ""
	if errors.As(err, &field) {
		name = field.field
	}
	status := Status(err)
	p := Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: err.Error(), Field: name, Reason: string(fault.ReasonOf(err))}
	var similar *similarError
	if errors.As(err, &similar) {
		p.Similar = similar.accounts
	}
	var shown *shownError
	switch {
	case errors.As(err, &shown):
		p.Detail = shown.Error()
	case status == http.StatusServiceUnavailable:
		p.Detail = "the database, or what else the answer needs, cannot be reached or took too long: try again, or ask for less"
	case status >= http.StatusInternalServerError:
		p.Detail = "this is a fault of the console: its log says more"
	}
	return p
}

// Status gives the status of an error: that of its reason where it is Permanent, else 503.
func Status(err error) int {
	if !fault.IsPermanent(err) {
		return http.StatusServiceUnavailable
	}
	switch fault.ReasonOf(err) {
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.Oversized:
		return http.StatusRequestEntityTooLarge
	case fault.Malformed, fault.Unsupported, fault.Unresolved:
		return http.StatusBadRequest
	default:
		return http.StatusInternalServerError
	}
}

// Write answers with a problem. A retryAfter above 0 becomes Retry-After, in seconds, rounded up.
func Write(w http.ResponseWriter, p Problem, retryAfter time.Duration) {
	w.Header().Set("Content-Type", ContentType)
	w.Header().Set("Cache-Control", "no-store")
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((retryAfter+time.Second-1)/time.Second)))
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone
}
