package vendors

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/source/salesforce"
)

// rendering is one event while it is written.
type rendering struct {
	event  *Event
	at     time.Time // UTC
	serial uint64
	tenant string
	parts  func(dst []byte) []byte // of an envelope: its events, with commas
}

// writer gives what writes a word of a template. The words, each with what it
// writes; those without quotes around them in the template write a JSON value:
//
//	unix, millis ±seconds              the event's time, as a number
//	rfc3339, milli3339, nanos, datetime, clock ±seconds   …as text
//	id PREFIX N                        PREFIX and N letters and digits
//	number LABEL FLOOR BITS            FLOOR and a number of BITS
//	typed PREFIX FLOOR BITS            PREFIX and such a number
//	uuid LABEL, hex LABEL              the event's own, for this label
//	salesforce PREFIX                  a record's id, of 18 characters
//	own ID…                            an id of the customer, not of the event
//	object ID…                         Event.Object, else an id of the event
//	ref KIND, refnumber KIND           the customer's id of this kind; …as a number
//	refhead KIND, reftail KIND         what is before and behind its slash
//	email, person, company, domain     of the customer
//	account, metadata                  the account's id, and an object that has it
//	tenant, tenantnumber, connect, context   the vendor account
//	type TEXT                          Event.Type, else TEXT
//	subject TEXT, text TEXT, note      Event.Subject and Event.Text, else TEXT; …or null
//	amount, pick A|B, attempt N, live  an amount in cents; one of these; N and Event.Attempt
//	events, events quoted              of an envelope: its events; …within a JSON text
func (s *Simulator) writer(v *vendor, t *template, word string) (writer, error) {
	name, args, _ := strings.Cut(word, " ")
	switch name {
	case "unix", "millis", "rfc3339", "milli3339", "nanos", "datetime", "clock":
		return timeWriter(name, args)
	case "ref", "refnumber", "refhead", "reftail":
		t.refers(args)
		return s.referenceWriter(v, name, args)
	case "own", "object":
		return s.idWriter(v, name, args)
	case "id", "number", "uuid", "hex", "salesforce":
		g, err := s.generator(v, word)
		return func(dst []byte, r *rendering) []byte { return g(dst, r.serial) }, err
	case "tenant", "tenantnumber", "connect", "context":
		return tenantWriter(name), nil
	case "email", "person", "company", "domain", "account", "metadata":
		return s.customerWriter(name), nil
	case "subject", "text", "note":
		return textWriter(name, args), nil
	}
	return s.plainWriter(name, args)
}

const shortSalesforceID = 15

// generator makes an id of a number.
type generator func(dst []byte, n uint64) []byte

// generator reads "id evt_1 23" and the like.
func (s *Simulator) generator(v *vendor, word string) (generator, error) {
	args := strings.Fields(word)
	if len(args) < 2 {
		return nil, errors.New("an id needs a label")
	}
	offset := s.offset(v.name + " " + args[1])
	numbers := make([]uint64, 0, 2)
	for _, arg := range args[2:] {
		n, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	switch {
	case args[0] == "id" && len(numbers) == 1:
		prefix, count := args[1], int(numbers[0])
		return func(dst []byte, n uint64) []byte { return appendBase62(append(dst, prefix...), mix(n+offset), count) }, nil
	case args[0] == "number" && len(numbers) == 2:
		floor, bits := numbers[0], int(numbers[1])
		return func(dst []byte, n uint64) []byte { return appendNumber(dst, floor+permute(n, offset, bits)) }, nil
	case args[0] == "typed" && len(numbers) == 2:
		prefix, floor, bits := args[1], numbers[0], int(numbers[1])
		return func(dst []byte, n uint64) []byte {
			return appendNumber(append(dst, prefix...), floor+permute(n, offset, bits))
		}, nil
	case args[0] == "uuid" && len(numbers) == 0:
		return func(dst []byte, n uint64) []byte { return appendUUID(dst, mix(n+offset)) }, nil
	case args[0] == "salesforce" && len(numbers) == 0:
		prefix := args[1]
		return func(dst []byte, n uint64) []byte {
			short := appendBase62([]byte(prefix), mix(n+offset), shortSalesforceID-len(prefix))
			long, _ := salesforce.ID(string(short)) // letters and digits
			return append(dst, long...)
		}, nil
	case args[0] == "hex" && len(numbers) == 0:
		return func(dst []byte, n uint64) []byte { return appendHex(dst, mix(n+offset)) }, nil
	}
	return nil, errors.New("not an id")
}

func (s *Simulator) idWriter(v *vendor, name, word string) (writer, error) {
	g, err := s.generator(v, word)
	if name == "own" {
		return func(dst []byte, r *rendering) []byte { return g(dst, r.event.About.Key) }, err
	}
	return func(dst []byte, r *rendering) []byte {
		if r.event.Object != "" {
			return appendText(dst, r.event.Object)
		}
		return g(dst, r.serial)
	}, err
}

func (s *Simulator) referenceWriter(v *vendor, name, kind string) (writer, error) {
	word, ok := v.kinds[kind]
	if !ok {
		return nil, fmt.Errorf("%s has no kind of reference %q", v.name, kind)
	}
	g, err := s.generator(v, word)
	if err != nil {
		return nil, err
	}
	column := v.name + ":" + kind
	whole := func(dst []byte, r *rendering) []byte {
		if id := r.event.About.IDs[column]; id != "" {
			return appendText(dst, id)
		}
		return g(dst, r.event.About.Key)
	}
	switch name {
	case "refnumber":
		return asNumber(whole), nil
	case "refhead":
		return func(dst []byte, r *rendering) []byte {
			head, _, _ := strings.Cut(string(whole(nil, r)), "/")
			return append(dst, head...)
		}, nil
	case "reftail":
		return asNumber(func(dst []byte, r *rendering) []byte {
			_, tail, _ := strings.Cut(string(whole(nil, r)), "/")
			return append(dst, tail...)
		}), nil
	}
	return whole, nil
}

// asNumber writes what a writer writes as a JSON number, and as a text where it
// is none.
func asNumber(write writer) writer {
	return func(dst []byte, r *rendering) []byte {
		start := len(dst)
		dst = write(dst, r)
		for _, c := range dst[start:] {
			if c < '0' || c > '9' {
				id := string(dst[start:])
				return append(append(append(dst[:start], '"'), id...), '"')
			}
		}
		if len(dst) == start {
			return append(dst, "null"...)
		}
		return dst
	}
}

func timeWriter(name, args string) (writer, error) {
	var ahead time.Duration
	if args != "" {
		seconds, err := strconv.Atoi(args)
		if err != nil {
			return nil, err
		}
		ahead = time.Duration(seconds) * time.Second
	}
	layouts := map[string]string{
		"rfc3339": "2006-01-02T15:04:05Z", "milli3339": "2006-01-02T15:04:05.000Z", "nanos": "2006-01-02T15:04:05.000000000Z",
		"datetime": time.DateTime, "clock": "03:04 PM (GMT -0700)",
	}
	switch name {
	case "unix":
		return func(dst []byte, r *rendering) []byte { return strconv.AppendInt(dst, r.at.Add(ahead).Unix(), 10) }, nil
	case "millis":
		return func(dst []byte, r *rendering) []byte { return strconv.AppendInt(dst, r.at.Add(ahead).UnixMilli(), 10) }, nil
	}
	layout := layouts[name]
	return func(dst []byte, r *rendering) []byte { return r.at.Add(ahead).AppendFormat(dst, layout) }, nil
}

func tenantWriter(name string) writer {
	switch name {
	case "tenantnumber":
		return asNumber(func(dst []byte, r *rendering) []byte { return appendText(dst, r.tenant) })
	case "connect": // Stripe: the connected account, where there is one
		return func(dst []byte, r *rendering) []byte {
			if r.tenant == "" {
				return dst
			}
			return append(appendText(append(dst, `,"account":"`...), r.tenant), '"')
		}
	case "context":
		return func(dst []byte, r *rendering) []byte {
			if r.tenant == "" {
				return append(dst, "null"...)
			}
			return append(appendText(append(dst, '"'), r.tenant), '"')
		}
	}
	return func(dst []byte, r *rendering) []byte { return appendText(dst, r.tenant) }
}

func (s *Simulator) customerWriter(name string) writer {
	domain := func(dst []byte, r *rendering) []byte { return s.appendDomain(dst, &r.event.About) }
	switch name {
	case "email":
		return func(dst []byte, r *rendering) []byte {
			if r.event.About.Email != "" {
				return appendText(dst, r.event.About.Email)
			}
			return domain(append(dst, "kim@"...), r)
		}
	case "person":
		return func(dst []byte, _ *rendering) []byte { return append(dst, "Kim Example"...) }
	case "company":
		return func(dst []byte, r *rendering) []byte {
			if r.event.About.Name != "" {
				return appendText(dst, r.event.About.Name)
			}
			return domain(dst, r)
		}
	case "account", "metadata":
		before, after, none := `"`, `"`, "null"
		if name == "metadata" {
			before, after, none = `{"account_uuid":"`, `"}`, "{}"
		}
		return func(dst []byte, r *rendering) []byte {
			if r.event.About.Account == uuid.Nil {
				return append(dst, none...)
			}
			text, _ := r.event.About.Account.MarshalText() // never fails
			return append(append(append(dst, before...), text...), after...)
		}
	}
	return domain
}

func textWriter(name, otherwise string) writer {
	switch name {
	case "subject":
		return func(dst []byte, r *rendering) []byte { return appendText(dst, orText(r.event.Subject, otherwise)) }
	case "note":
		return func(dst []byte, r *rendering) []byte {
			if r.event.Text == "" {
				return append(dst, "null"...)
			}
			return append(appendText(append(dst, '"'), r.event.Text), '"')
		}
	}
	return func(dst []byte, r *rendering) []byte { return appendText(dst, orText(r.event.Text, otherwise)) }
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func (s *Simulator) plainWriter(name, args string) (writer, error) {
	offset := s.offset(name + args)
	switch name {
	case "type":
		return func(dst []byte, r *rendering) []byte { return appendText(dst, orText(r.event.Type, args)) }, nil
	case "amount":
		return func(dst []byte, r *rendering) []byte { return appendNumber(dst, 1000+mix(r.serial+offset)%500_000) }, nil
	case "pick":
		choices := strings.Split(args, "|")
		return func(dst []byte, r *rendering) []byte {
			return append(dst, choices[mix(r.serial+offset)%uint64(len(choices))]...)
		}, nil
	case "attempt":
		first, err := strconv.Atoi(args)
		return func(dst []byte, r *rendering) []byte { return strconv.AppendInt(dst, int64(first+r.event.Attempt), 10) }, err
	case "live":
		return func(dst []byte, r *rendering) []byte { return strconv.AppendBool(dst, !r.event.Test) }, nil
	case "events":
		if args == "quoted" {
			return func(dst []byte, r *rendering) []byte { return appendText(dst, string(r.parts(nil))) }, nil
		}
		return func(dst []byte, r *rendering) []byte { return r.parts(dst) }, nil
	}
	return nil, errors.New("there is no such word")
}

// appendText appends a text as it stands between a JSON string's quotes. What is
// not UTF-8 becomes the replacement character.
func appendText(dst []byte, text string) []byte {
	plain := true
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		return append(dst, text...)
	}
	quoted, _ := jsontext.AppendQuote(nil, strings.ToValidUTF8(text, "\uFFFD")) // fails for what is not UTF-8 only
	return append(dst, quoted[1:len(quoted)-1]...)
}
