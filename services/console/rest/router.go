package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

const (
	// MaxBody bounds the body of a request.
	MaxBody = 64 << 10
	// FeedWait is how long a request of the feed may wait for an event.
	FeedWait = 30 * time.Second
)

// router registers the generated server's operations, each behind what is asked of its requests.
type router struct {
	mux    *http.ServeMux
	routes map[string]*routers.Route // by the mux's pattern
	b      backend.Backend
}

func newRouter(doc *openapi3.T, b backend.Backend) *router {
	m := &router{mux: http.NewServeMux(), b: b, routes: map[string]*routers.Route{}}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			m.routes[method+" "+Base+path] = &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: operation}
		}
	}
	return m
}

func (m *router) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.mux.ServeHTTP(w, r) }

// HandleFunc is called by the generated code.
func (m *router) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	route := m.routes[pattern]
	m.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err := check(route, r); err != nil {
			if forbidden := m.forbidden(route, r); forbidden != nil {
				err = forbidden
			}
			refuse(w, err)
			return
		}
		if exports(route.Path) && r.Method == http.MethodHead { // it would be read to its end, and thrown away
			m.nothing(w, r)
			return
		}
		if route.Method != http.MethodGet || route.Path == "/live" || exports(route.Path) {
			w.Header().Set("Cache-Control", "no-store")
			handler(w, r)
			return
		}
		w.Header().Set("Cache-Control", "private, no-cache") // kept, and asked about each time
		tagged := &tagged{ResponseWriter: w, request: r}
		handler(tagged, r)
		tagged.end()
	})
}

// forbidden refuses who may not do this whatever they ask: they are told that, and not how to ask for it. What is asked
// well the backend refuses, which knows more about it.
func (m *router) forbidden(route *routers.Route, r *http.Request) error {
	text, _ := route.Operation.Extensions["x-role"].(string)
	role, err := access.ParseRole(text)
	if err != nil || exports(route.Path) { // a setting says who exports
		return nil
	}
	if route.Method == http.MethodGet {
		return access.ActorOf(r.Context()).Require(role)
	}
	var target []string
	for _, p := range route.Operation.Parameters {
		if p.Value.In == openapi3.ParameterInPath {
			target = append(target, r.PathValue(p.Value.Name))
		}
	}
	return m.b.Allowed(r.Context(), role, route.Operation.OperationID, strings.Join(target, " "))
}

// exports says whether an operation answers with a file of any length.
func exports(path string) bool { return strings.HasSuffix(path, "/export") }

// nothing answers where there is no operation.
func (m *router) nothing(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := m.mux.Handler(other); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		problem.Write(w, problem.Problem{Type: "about:blank", Title: http.StatusText(http.StatusMethodNotAllowed), Status: http.StatusMethodNotAllowed,
			Detail: "this path takes " + strings.Join(allowed, ", "), Reason: string(fault.Unsupported)}, 0)
		return
	}
	refuse(w, fault.Permanent(fault.NotFound, errors.New("there is nothing at this path: openapi.yaml describes what there is")))
}

func malformed(field, format string, args ...any) error {
	return problem.Field(field, fault.Permanent(fault.Malformed, fmt.Errorf(format, args...)))
}

// isText says whether Postgres would take it.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// check holds a request against the description. Errors are Permanent and name the parameter or member.
func check(route *routers.Route, r *http.Request) error {
	path := map[string]string{}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return malformed("", "the query of the URL is not well-formed")
	}
	known := map[string]bool{}
	for _, p := range route.Operation.Parameters {
		switch known[p.Value.Name] = true; p.Value.In {
		case "path":
			path[p.Value.Name] = r.PathValue(p.Value.Name)
			if !isText(path[p.Value.Name]) {
				return malformed(p.Value.Name, "%s holds NUL or bytes that are not UTF-8", p.Value.Name)
			}
		case "header":
			if !isText(r.Header.Get(p.Value.Name)) {
				return malformed(p.Value.Name, "%s holds NUL or bytes that are not UTF-8", p.Value.Name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		values := query[name]
		switch p := route.Operation.Parameters.GetByInAndName("query", name); {
		case !isText(name):
			return malformed("", "the name of a parameter holds NUL or bytes that are not UTF-8")
		case p == nil:
			return malformed(name, "there is no such parameter here")
		case len(values) > 1:
			return malformed(name, "%s is given more than once", name)
		case !isText(values[0]):
			return malformed(name, "%s holds NUL or bytes that are not UTF-8", name)
		case values[0] == "":
			return malformed(name, "%s is empty: leave it out", name)
		}
	}
	if err := checkBody(route, r); err != nil {
		return err
	}
	err = openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{Request: r, PathParams: path, QueryParams: query, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true}})
	if err == nil {
		return nil
	}
	field, why := "", "the request is not as openapi.yaml describes it"
	var refused *openapi3filter.RequestError
	if errors.As(err, &refused) {
		if refused.Parameter != nil {
			field, why = refused.Parameter.Name, refused.Parameter.Name+" is not of the form that is asked for"
		} else if refused.Reason != "" {
			why = refused.Reason
		}
	}
	var schema *openapi3.SchemaError
	if errors.As(err, &schema) {
		if pointer := schema.JSONPointer(); len(pointer) > 0 && field == "" {
			field = pointer[0]
		}
		if schema.Reason != "" {
			why = plain(field, schema.Reason)
		}
	}
	return malformed(field, "%s", why)
}

// place is how the validator begins each line about a part of what it was given.
var place = regexp.MustCompile(`(?m)^\s*- at '[^\n']*': `)

// plain leaves of the validator's text what is wrong, without its places and the address of a schema that nobody knows.
func plain(field, text string) string {
	if parts := place.Split(text, -1); len(parts) > 1 {
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		text = strings.Join(parts[1:], "; ")
	}
	if field != "" {
		if strings.Contains(text, "is not valid date-time") {
			return field + " is not a time like 2026-11-27T10:00:00Z"
		}
		return field + ": " + text
	}
	return text
}

// checkBody reads the body, and refuses in it what JSON's decoder would make something else of: a text that is no time, or
// no id, and NUL.
func checkBody(route *routers.Route, r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	switch {
	case err != nil:
		return malformed("", "the body could not be read")
	case len(body) > MaxBody:
		return fault.Permanent(fault.Oversized, fmt.Errorf("a body has at most %d bytes", MaxBody))
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if route.Operation.RequestBody == nil {
		if len(body) > 0 {
			return malformed("", "there is no body here")
		}
		return nil
	}
	media := route.Operation.RequestBody.Value.Content.Get("application/json")
	if media == nil || !strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "application/json") {
		return fault.Permanent(fault.Unsupported, errors.New("the body has to be application/json"))
	}
	if !utf8.Valid(body) {
		return malformed("", "the body holds bytes that are not UTF-8")
	}
	if _, err := new(rawjson.Doc).Parse(body); err != nil {
		switch text := err.Error(); {
		case strings.Contains(text, "duplicate name"): // readers differ in which of the two they take
			return malformed("", "%s", strings.TrimPrefix(text, "not valid JSON: "))
		case strings.Contains(text, "a lone surrogate"): // the decoder makes U+FFFD of it
			return malformed("", "%s", strings.Replace(text, ", which Postgres refuses,", "", 1))
		}
	}
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return malformed("", "the body is not a JSON object")
	}
	for name, value := range members {
		if holdsNUL(value) || !isText(name) {
			return malformed(name, "%s holds NUL", name)
		}
		text, is := value.(string)
		if !is || media.Schema.Value.Properties[name] == nil {
			continue
		}
		switch media.Schema.Value.Properties[name].Value.Format {
		case "date-time":
			if _, err := time.Parse(time.RFC3339, text); err != nil {
				return malformed(name, "%s is not a time like 2026-11-27T10:00:00Z", name)
			}
		case "uuid":
			if _, err := uuid.Parse(text); err != nil {
				return malformed(name, "%s is not an id like 0198f0c2-7a3e-7c1d-9b60-2f9c1f4d5e6a", name)
			}
		}
	}
	return nil
}

func holdsNUL(value any) bool {
	switch v := value.(type) {
	case string:
		return strings.ContainsRune(v, 0)
	case []any:
		return slices.ContainsFunc(v, holdsNUL)
	case map[string]any:
		for name, member := range v {
			if strings.ContainsRune(name, 0) || holdsNUL(member) {
				return true
			}
		}
	}
	return false
}
