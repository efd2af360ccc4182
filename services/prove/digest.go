package prove

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
)

// MarkKey is the member of an event in which its sender writes its mark.
const MarkKey = "e2e"

// marked gives the object that bears the mark: the event itself, or the row that an event of Looker is of.
func marked(event []byte) (mark string, object map[string]any, top bool) {
	decoder := json.NewDecoder(bytes.NewReader(event))
	decoder.UseNumber()
	if decoder.Decode(&object) != nil {
		return "", nil, false
	}
	if mark, ok := object[MarkKey].(string); ok {
		return mark, object, true
	}
	if row, ok := object["row"].(map[string]any); ok {
		if mark, ok := row[MarkKey].(string); ok {
			return mark, row, false
		}
	}
	return "", nil, false
}

// MarkOf gives an event's mark; "" when it has none.
func MarkOf(event []byte) string {
	mark, _, _ := marked(event)
	return mark
}

// Digest gives the digest of an event as its vendor sent it: of the object that bears the mark. "" without a mark.
func Digest(event []byte) string {
	_, object, top := marked(event)
	if object == nil {
		return ""
	}
	if own, has := object["subject"]; top && has { // what the sink makes of it (docs/adr/0011-payload-subject.md)
		delete(object, "subject")
		for key := "subject_ref"; ; key += "_ref" {
			next, taken := object[key]
			object[key] = own
			if own = next; !taken {
				break
			}
		}
	}
	return digest(object)
}

// storedDigest gives the digest of a payload of account_events, without the line for people that the sink puts there.
func storedDigest(payload []byte) string {
	_, object, top := marked(payload)
	if object == nil {
		return ""
	}
	if top {
		delete(object, "subject")
	}
	return digest(object)
}

// digest does not depend on the order of members nor on how numbers are written: JSONB keeps neither.
func digest(object map[string]any) string {
	text, err := json.Marshal(plain(object))
	if err != nil {
		return "not JSON: " + err.Error()
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func plain(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = plain(v[key])
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case json.Number:
		if exact, ok := new(big.Rat).SetString(v.String()); ok {
			return fmt.Sprintf("number %s", exact.RatString())
		}
	}
	return value
}
