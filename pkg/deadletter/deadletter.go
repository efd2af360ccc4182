// Package deadletter is the one builder and the one reader of dead letters, the
// records of account-events.dlq. Whatever record could not go on, its letter can
// be written, fits its topic, and is read again.
package deadletter

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Described is what a record could be described as before it failed; empty where
// it could not.
type Described struct {
	Source        string // "": the raw topic's
	Tenant        string
	Type          string
	SourceEventID string
	References    []source.Reference
	// Value is the element of a page that failed, and Index its place there, from
	// 0. Without one the whole record failed.
	Value []byte
	Index int32
}

// Make makes the dead letter of a record that failed for cause, a Permanent
// error. Its key is the record's, so that what belongs together stays in order
// there too. The same record, described alike, gives the same letter.
//
// The letter's headers are those of ours that the record has, written anew from
// what was read of them; others stay where the letter says. What is too large,
// or cannot be encoded, is left out, of which the letter's error tells. An error
// means that not even that could be encoded, and is Transient.
func Make(enc *event.Encoder, rec *kgo.Record, d Described, cause error) (*kgo.Record, error) {
	letter := newLetter(rec, d, cause)
	value, err := enc.DeadLetter(&letter)
	if err != nil {
		return MakeBare(enc, rec, d, cause, err)
	}
	return &kgo.Record{Topic: enc.LetterTopic(), Key: letter.Key, Value: value}, nil
}

// MakeBare makes the dead letter of a record whose letter cannot be written for
// this reason, the brokers' refusal for example: it says why, and where the record
// lies, and has nothing of the record itself but a short key. Where even that is
// refused, the topic is at fault, and Hopeless says so.
func MakeBare(enc *event.Encoder, rec *kgo.Record, d Described, cause, why error) (*kgo.Record, error) {
	letter := newLetter(rec, d, cause)
	bare(&letter, why)
	value, err := enc.DeadLetter(&letter)
	if err != nil {
		return nil, fault.Transient(fault.ReasonOf(err), fmt.Errorf("making the dead letter of %s: %w", place(&letter), err))
	}
	return &kgo.Record{Topic: enc.LetterTopic(), Key: letter.Key, Value: value}, nil
}

// Hopeless gives the error for a letter that is refused although it is bare.
func Hopeless(why error) error {
	return fault.Advise(fault.Transient(fault.Unavailable, fmt.Errorf("the brokers refuse even a dead letter without the record's bytes: %w", why)),
		"run `throughline topics apply`, which sets "+stream.DeadLetters+" up")
}

func newLetter(rec *kgo.Record, d Described, cause error) event.DeadLetter {
	replay := stream.ReadReplay(rec).Failed(rec.Timestamp)
	letter := event.DeadLetter{
		Value: d.Value, RawIndex: d.Index, Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset, Key: rec.Key, Headers: headers(rec),
		Reason: string(fault.DeadLetterReason(cause)), Error: cause.Error(),
		References: d.References, FirstSeen: replay.FirstSeen, Attempts: replay.Attempts,
		Source: d.Source, Tenant: d.Tenant, Type: d.Type, SourceEventID: d.SourceEventID,
	}
	if d.Value == nil {
		letter.Value, letter.RawIndex = rec.Value, -1
	}
	if letter.Source == "" {
		letter.Source, _ = stream.SourceOfTopic(rec.Topic)
	}
	bound(&letter)
	return letter
}

// Read reads a record of account-events.dlq. What is no dead letter is read as
// one: malformed, with the record's bytes and place. A registry that does not
// answer is Transient, and the only error.
func Read(ctx context.Context, dec *event.Decoder, rec *kgo.Record) (event.DeadLetter, error) {
	var letter event.DeadLetter
	err := stream.Unreadable(rec)
	if err == nil {
		err = dec.DeadLetter(ctx, rec.Value, &letter)
	}
	if err == nil {
		return letter, nil
	}
	if !fault.IsPermanent(err) {
		return event.DeadLetter{}, fmt.Errorf("reading a dead letter: %w", err)
	}
	letter = event.DeadLetter{
		Value: rec.Value, Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset, Key: rec.Key,
		Reason: string(fault.Malformed), Error: "not a dead letter: " + err.Error(), FirstSeen: rec.Timestamp, Attempts: 1, RawIndex: -1,
	}
	bound(&letter)
	return letter, nil
}

// Replay gives what the letter's record said of its release from the quarantine.
func Replay(letter *event.DeadLetter) stream.Replay { return stream.ReadReplay(asRecord(letter)) }

// Traceparent gives the trace that the letter's record belongs to, or "".
func Traceparent(letter *event.DeadLetter) string { return stream.ReadTraceparent(asRecord(letter)) }

// asRecord gives the letter's headers to those who read a record's.
func asRecord(letter *event.DeadLetter) *kgo.Record {
	rec := &kgo.Record{Headers: make([]kgo.RecordHeader, len(letter.Headers))}
	for i, h := range letter.Headers {
		rec.Headers[i] = kgo.RecordHeader{Key: h.Key, Value: h.Value}
	}
	return rec
}

// Headers gives a record's headers in a letter's form.
func Headers(list []kgo.RecordHeader) []event.Header {
	headers := make([]event.Header, len(list))
	for i, h := range list {
		headers[i] = event.Header{Key: h.Key, Value: h.Value}
	}
	return headers
}

// headers writes the record's headers anew from what was read. A raw record's
// have its receipt, whether it said so or not: a release writes the record anew,
// which would move it.
func headers(rec *kgo.Record) []event.Header {
	var list []kgo.RecordHeader
	if name, ok := stream.SourceOfTopic(rec.Topic); ok {
		raw := stream.ReadRaw(rec)
		list = stream.RawRecord(name, raw.Record, raw.Traceparent).Headers
	} else if trace := stream.ReadTraceparent(rec); trace != "" {
		list = []kgo.RecordHeader{{Key: stream.HeaderTraceparent, Value: []byte(trace)}}
	}
	return Headers(append(list, stream.ReadReplay(rec).Headers()...))
}
