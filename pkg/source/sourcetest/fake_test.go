package sourcetest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// fake is the smallest source that has everything. broken names one way in which
// it breaks the contract.
type fake struct {
	broken string
	held   *[]byte // what a leaking one keeps
	splits *int
}

func newFake(broken string) fake { return fake{broken, new([]byte), new(int)} }

const fakeSecret = "fake-secret-0123456789"

func fakeConfig() Config {
	ping, _ := http.NewRequest(http.MethodHead, "/webhooks/fake", http.NoBody)
	return Config{Secret: fakeSecret, TypeField: "/kind", Handshakes: []*http.Request{ping}}
}

func (fake) Name() string { return "fake" }

func (f fake) Profile() source.Profile {
	p := source.Profile{
		Title:           "Fake",
		Limits:          source.Limits{BodyBytes: 1 << 20, Events: 20},
		Kinds:           []source.Kind{{Name: "thing"}},
		Types:           []source.EventType{{Vendor: "thing_made", Type: "thing.made"}},
		Volatile:        []string{"/attempts"},
		SignatureWindow: time.Minute,
	}
	switch f.broken {
	case "a type twice":
		p.Types = append(p.Types, p.Types...)
	case "takes any text":
		p.Media = []string{"application/json", "text/plain"}
	case "url not covered":
		p.NeedsPublicURL = true
	case "a volatile member that is nowhere":
		p.Volatile = append(p.Volatile, "/nowhere")
	}
	return p
}

func (f fake) Form(event rawjson.Value) source.Form {
	if f.broken == "a form of its bytes" {
		return source.Form{Name: string(rawjson.Canonical(event, "/attempts"))}
	}
	return source.Form{}
}

// mac covers what the broken forms leave out.
func (f fake) mac(secret, at string, body []byte) []byte {
	switch f.broken {
	case "first byte not covered":
		body = body[min(1, len(body)):]
	case "white space not covered":
		body = bytes.TrimSpace(body)
	}
	return source.HMAC(source.SHA256, secret, source.Signed{Before: at + ".", Body: body})
}

func (f fake) Sign(d *source.Delivery, secret string, now time.Time) error {
	if f.broken != "no content type" {
		d.SetUsual("Content-Type", "application/json")
	}
	at := strconv.FormatInt(now.Unix(), 10)
	d.Header.Set("Fake-Time", at)
	d.Header.Set("Fake-Signature", hex.EncodeToString(f.mac(secret, at, d.Body)))
	return nil
}

func (f fake) Open(secrets []string) (source.Verifier, error) {
	if f.broken == "opens nothing" && len(secrets) == 0 {
		return fakeVerifier{fake: f}, nil
	}
	keys, err := source.NewKeyring(secrets...)
	if err != nil {
		return nil, err
	}
	return fakeVerifier{f, keys}, nil
}

type fakeVerifier struct {
	fake
	keys source.Keyring
}

func (f fakeVerifier) Verify(d *source.Delivery, now time.Time) (int, error) {
	at, given := d.Header.Get("Fake-Time"), d.Header.Get("Fake-Signature")
	text := "the signature does not match"
	switch f.broken {
	case "takes anything":
		return 0, nil
	case "takes nothing":
		given = ""
	case "changes the body":
		d.Body = append(d.Body, ' ')
		defer func() { d.Body = append(d.Body, ' ') }()
	case "prints the header":
		text += ": " + given
	case "no time needed":
		if at == "" {
			return 0, nil
		}
	}
	sum := make([]byte, 32)
	ok := source.DecodeHex(sum, given)
	if f.broken == "any case" {
		decoded, err := hex.DecodeString(given)
		sum, ok = decoded, err == nil
	}
	signed, err := strconv.ParseInt(at, 10, 64)
	inWindow := source.InWindow(time.Unix(signed, 0), now, time.Minute) || f.broken == "no window"
	key, matched := f.keys.Match(func(s string) bool { return bytes.Equal(f.mac(s, at, d.Body), sum) })
	switch {
	case !ok || !matched || err != nil || !inWindow:
		return 0, fault.Permanent(fault.Unauthenticated, errors.New(text))
	case f.broken == "says the wrong key":
		key = 0
	}
	return key, nil
}

func (f fake) Split(d *source.Delivery) iter.Seq2[source.Part, error] {
	limit := f.Profile().Limits.Events
	if f.broken == "no limit" {
		limit = 1 << 30
	}
	parts := source.Parts(d, limit)
	return func(yield func(source.Part, error) bool) {
		*f.splits++
		if f.broken == "holds much" && len(d.Body) > 1<<19 {
			*f.held = make([]byte, 200<<20)
		}
		if f.broken == "not again" && *f.splits%2 == 0 {
			return
		}
		for part, err := range parts {
			switch {
			case err != nil:
			case f.broken == "changes bytes":
				part = source.Part{Value: []byte(`{"x":1}`)}
			case f.broken == "one bad spoils all" && part.Object.Kind() != rawjson.Object:
				err = fault.Permanent(fault.Malformed, errors.New("not an object"))
			}
			if !yield(part, err) && f.broken != "goes on" {
				return
			}
		}
	}
}

func (f fake) List(page rawjson.Value) (rawjson.Value, bool) {
	items := page.Get("items")
	return items, items.Kind() == rawjson.Array || f.broken == "all is a list"
}

func (f fake) Describe(r source.Record) (source.Event, error) {
	o := r.Object
	kind, key := o.Get("kind").Text(), o.Get("key").Literal()
	if f.broken == "drops unknown types" && kind != "thing_made" {
		return source.Event{}, fault.Permanent(fault.Malformed, errors.New("unknown kind"))
	}
	at, err := source.ParseTime(o.Get("at").Literal())
	if err != nil {
		if f.broken == "an error without a mark" {
			err = errors.New("no time")
		}
		return source.Event{}, err
	}
	tenant := o.Get("tenant").Text()
	if tenant == "" || f.broken == "the setting counts first" && r.Tenant != "" {
		tenant = r.Tenant
	}
	refs := source.References{Source: "fake", Tenant: tenant}
	if !r.Brief {
		refs.Add("thing", key)
	}
	id := key
	switch f.broken {
	case "an id of its way":
		id += string(r.Mode)
	case "an id of its time":
		id += r.ReceivedAt.String()
	case "an id of its bytes":
		id += strconv.Itoa(len(r.Value))
	case "an id of its order":
		for name := range o.Members() {
			id += name
			break
		}
	case "an id of its attempt":
		id += o.Get("attempts").Literal()
	case "an id of its length":
		if r.Brief {
			id = ""
		}
	case "a kind of its own":
		refs.Add("secret-kind", key)
	}
	return source.Event{ID: id, Type: source.TypeName(kind), OccurredAt: at, Tenant: tenant, References: refs.List()}, nil
}

func (f fake) TypeOf(r source.Record) (string, bool) {
	o := r.Object
	kind := o.Get("kind").TextBytes()
	if !source.Certain(kind, source.MaxTypeBytes) {
		return "", false
	}
	sure := source.Certain([]byte(o.Get("key").Literal()), source.MaxIDBytes) && source.CertainTime(o.Get("at"), r.ReceivedAt)
	for _, tenant := range []string{o.Get("tenant").Text(), r.Tenant} {
		sure = sure && (tenant == "" || source.Certain([]byte(tenant), source.MaxTenantBytes))
	}
	switch f.broken {
	case "a type of what is refused":
		sure = true
	case "never a type":
		sure = false
	case "a type of its own":
		return string(kind), sure
	}
	return source.TypeName(string(kind)), sure
}

func (f fake) Reply(d *source.Delivery, outcome error) source.Response {
	reply := source.DefaultReply(outcome)
	switch {
	case f.broken == "refuses what was taken" && outcome == nil:
		reply.Status = http.StatusTeapot
	case f.broken == "ends the subscription" && outcome != nil && !fault.IsPermanent(outcome):
		reply.Status = http.StatusGone
	case f.broken == "tells what is inside" && outcome != nil:
		reply.Body = fmt.Appendf(nil, "%q", outcome)
	case f.broken == "asks for ever" && outcome != nil:
		reply.Status = http.StatusServiceUnavailable
	case f.broken == "not what it says":
		reply.Header = http.Header{"Content-Type": {"text/xml"}}
	case f.broken == "spoils the body" && len(d.Body) > 0:
		d.Body = d.Body[1:]
	}
	return reply
}

func (f fake) Handshake(r *http.Request) (source.Response, bool) {
	switch {
	case f.broken == "answers a delivery", r.Method == http.MethodHead:
		return source.Response{Status: http.StatusOK}, true
	case f.broken == "answers what nobody asks" && r.Method == http.MethodGet:
		return source.Response{Status: http.StatusOK}, true
	}
	return source.Response{}, false
}
