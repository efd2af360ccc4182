package prove

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Sent is an event that a vendor is about to send.
type Sent struct {
	// Mark is the sender's own name for the event, in a member "e2e" of it. No two events have the same.
	Mark string `json:"mark"`
	// Whose says where the event belongs in the end; Check is told what it means.
	Whose string `json:"whose"`
	// Digest is of the event's content, by Digest; "" where a vendor's delivery is not the event.
	Digest string `json:"digest,omitempty"`
	// OccurredAt is when it happened; zero: it is not compared.
	OccurredAt time.Time `json:"occurred_at,omitzero"`
}

// line is one line of the file: of an event that is sent, or of one that is acknowledged.
type line struct {
	Sent  *Sent     `json:"sent,omitempty"`
	Acked string    `json:"acked,omitempty"` // mark
	At    time.Time `json:"at,omitzero"`
}

// Ledger is the file of a run: one JSON object a line, each written before the next thing is done, so that it is whole
// whatever happens to the process. Its methods are safe for concurrent use.
type Ledger struct {
	mu   sync.Mutex
	file *os.File
	err  error
}

// Create makes the file, which must not be there.
func Create(path string) (*Ledger, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the ledger: %w", err)
	}
	return &Ledger{file: file}, nil
}

// Name is the file's.
func (l *Ledger) Name() string { return l.file.Name() }

// Send writes down events before they are posted for the first time.
func (l *Ledger) Send(events ...Sent) {
	lines := make([]line, len(events))
	for i := range events {
		lines[i].Sent = &events[i]
	}
	l.write(lines...)
}

// Ack writes down that the events of these marks were answered with a 2xx.
func (l *Ledger) Ack(at time.Time, marks ...string) {
	lines := make([]line, len(marks))
	for i, mark := range marks {
		lines[i] = line{Acked: mark, At: at}
	}
	l.write(lines...)
}

func (l *Ledger) write(lines ...line) {
	var text []byte
	for _, one := range lines {
		encoded, err := json.Marshal(one)
		if err != nil {
			panic(err) // texts and times
		}
		text = append(append(text, encoded...), '\n')
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(text); err != nil && l.err == nil {
		l.err = fmt.Errorf("writing the ledger: %w", err)
	}
}

// Close gives the first error of all writes: with one the ledger says nothing.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.err, l.file.Close())
}

// Promise is what the ledger says about an event.
type Promise struct {
	Sent
	Acked   bool
	AckedAt time.Time // the first time
}

// Promises are by mark.
type Promises map[string]Promise

// Read reads a ledger. A last line that was cut is of an event that was not sent yet, or of an answer that may have come:
// it does not count. Any other line that is no ledger's is an error.
func Read(path string) (Promises, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	defer file.Close()
	all := Promises{}
	in := bufio.NewReader(file)
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the ledger: %w", err)
		}
		if err := all.add(text); err != nil {
			return nil, fmt.Errorf("line %d of the ledger: %w", n, err)
		}
	}
}

func (p Promises) add(text []byte) error {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return err
	}
	if l.Sent != nil {
		if _, twice := p[l.Sent.Mark]; twice {
			return fmt.Errorf("%s is sent a second time", l.Sent.Mark)
		}
		p[l.Sent.Mark] = Promise{Sent: *l.Sent}
		return nil
	}
	promise, sent := p[l.Acked]
	if !sent {
		return fmt.Errorf("%q is acknowledged and was not sent", l.Acked)
	}
	if !promise.Acked {
		promise.Acked, promise.AckedAt = true, l.At
		p[l.Acked] = promise
	}
	return nil
}
