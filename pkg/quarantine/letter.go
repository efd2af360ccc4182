package quarantine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Letter is a dead letter as the quarantine takes it in. Value, Key and Headers are what a release publishes;
// Topic, Partition and Offset are where the record failed.
type Letter struct {
	event.DeadLetter
	// QuarantineID is the row that the failed record was released from (header tl-quarantine-id); 0: none.
	QuarantineID int64
	// At is when the letter was written.
	At time.Time

	bare bool // only what no database refuses
}

// Bounds that Postgres' indexes set: a btree row holds 2,704 bytes, a GIN key about as many.
const (
	maxKeyBytes  = 1800
	maxTextBytes = 4000
	maxKeys      = 400
)

// dedupKey names what the record is of: the event and what it says, where it could be described, else the bytes. So two
// events of one identity that say different things are two records, and neither is lost.
func (l *Letter) dedupKey(sources source.Set) string {
	if len(l.Value) == 0 { // left out of the letter, or there were none: the place is all that is known
		return "place:" + l.position()
	}
	sum := sha256.Sum256(l.Value)
	if event := l.eventKey(); event != "" {
		var doc rawjson.Doc
		if top, err := doc.ParseBody(l.Value, 0); err == nil {
			sum = sources.Digest(l.Source, top)
		}
		if key := event + ":" + hex.EncodeToString(sum[:]); len(key) <= maxKeyBytes {
			return key
		}
	}
	return "bytes:" + clean(l.Topic) + ":" + hex.EncodeToString(sum[:])
}

// eventKey names the event alone, as earlier versions did for its record; "" where it could not be described.
func (l *Letter) eventKey() string {
	if l.Source == "" || l.SourceEventID == "" {
		return ""
	}
	return "event:" + clean(l.Source) + ":" + clean(l.SourceEventID)
}

// position names the attempt: where the record that failed stands, and its place within a page.
func (l *Letter) position() string {
	at := fmt.Sprintf("%s/%d/%d", clean(l.Topic), l.Partition, l.Offset)
	if l.RawIndex >= 0 {
		at += fmt.Sprintf("/%d", l.RawIndex)
	}
	return at
}

// payload is the value as JSON, or nil where JSONB would refuse it.
func (l *Letter) payload() *string {
	if l.bare {
		return nil
	}
	if _, err := new(rawjson.Doc).Parse(l.Value); err != nil {
		return nil
	}
	text := string(l.Value)
	return &text
}

// references gives the letter's references as JSON, and the keys whose change may resolve them.
func (l *Letter) references() (list string, keys []string) {
	if l.bare || len(l.References) == 0 {
		return "[]", nil
	}
	refs := make([]source.Reference, len(l.References))
	for i, r := range l.References {
		refs[i] = source.Reference{Source: clean(r.Source), Tenant: clean(r.Tenant), Kind: clean(r.Kind), ID: clean(r.ID)}
	}
	for _, key := range resolve.Keys(refs) {
		if len(key) <= maxKeyBytes && len(keys) < maxKeys {
			keys = append(keys, key)
		}
	}
	return encode(refs), keys
}

func (l *Letter) headers() string {
	if l.bare {
		return "[]"
	}
	headers := make([]Header, len(l.Headers))
	for i, h := range l.Headers {
		headers[i] = Header{Key: clean(h.Key), Value: h.Value}
	}
	return encode(headers)
}

// encode gives JSON of a slice of the types above, which always have one.
func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "[]"
	}
	return string(text)
}

// clean makes text that Postgres takes: valid UTF-8 without NUL, of bounded length.
func clean(s string) string {
	if len(s) > maxTextBytes {
		s = s[:maxTextBytes]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// separator stands between the elements of arrays that travel inside an array; no key or position holds it.
const separator = "\x1f"
