package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/throughline-dev/throughline/pkg/local/process"
	"github.com/throughline-dev/throughline/pkg/service"
)

// registryShutdown bounds how long Close waits for requests under way. A client
// may hold a connection on which it has asked nothing yet, and Shutdown takes
// that for busy during its first 5 s.
const registryShutdown = 10 * time.Second

// A Registry is a schema registry in this process, with the API of Confluent's.
// It finds every schema compatible: check compatibility before registering. It has
// no authentication, and is service.LocalOnly.
type Registry struct {
	url    string
	server *http.Server
	served chan error
	once   sync.Once
	err    error
}

// A RegistryOption changes what StartRegistry starts.
type RegistryOption func(*registryOptions)

type registryOptions struct {
	file string
}

// KeepIn keeps the registered schemas in dir/schemas.json. Use it wherever the
// broker keeps records: a record names its schema by a number, and a registry
// that starts empty may give that number to another schema. The directory is
// the broker's DataDir, so the broker's lock guards it.
func KeepIn(dir string) RegistryOption {
	return func(o *registryOptions) { o.file = filepath.Join(dir, "schemas.json") }
}

// StartRegistry serves on addr ("host:port", port 0 takes a free one) until
// Close. A taken port gives an error that wraps syscall.EADDRINUSE and says
// what to do. Without KeepIn the schemas live in memory.
func StartRegistry(addr string, opts ...RegistryOption) (*Registry, error) {
	var o registryOptions
	for _, opt := range opts {
		opt(&o)
	}
	fake := srfake.NewRegistry()
	handler := fake.Handler()
	if o.file != "" {
		if err := loadSchemas(fake, o.file); err != nil {
			return nil, fmt.Errorf("reading schemas from %s: %w", o.file, err)
		}
		handler = &keeper{next: handler, file: o.file}
	}
	ln, err := listen(context.Background(), addr)
	if err != nil {
		return nil, fmt.Errorf("starting the schema registry: %w", err)
	}
	r := &Registry{
		url:    "http://" + ln.Addr().String(),
		server: &http.Server{Handler: service.LocalOnly(handler), ReadHeaderTimeout: 5 * time.Second},
		served: make(chan error, 1),
	}
	go func() { r.served <- r.server.Serve(ln) }()
	return r, nil
}

// URL is the base address to hand to clients, "http://127.0.0.1:<port>".
func (r *Registry) URL() string { return r.url }

// Close lets requests under way finish for up to 10 s, then stops. A second
// call gives the first one's result.
func (r *Registry) Close() error {
	r.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), registryShutdown)
		defer cancel()
		if r.err = r.server.Shutdown(ctx); r.err != nil {
			r.err = errors.Join(fmt.Errorf("stopping the schema registry: %w", r.err), r.server.Close())
		}
		if err := <-r.served; !errors.Is(err, http.ErrServerClosed) {
			r.err = errors.Join(r.err, fmt.Errorf("serving the schema registry: %w", err))
		}
	})
	return r.err
}

// A keeper writes the registry's schemas to a file whenever a request may have
// changed them, before the client gets its answer: an id that a client has
// seen is an id that a restart still knows.
type keeper struct {
	next http.Handler
	file string
	mu   sync.Mutex // one change at a time, so that files replace each other in order
}

func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		k.next.ServeHTTP(w, r)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	answer := httptest.NewRecorder()
	k.next.ServeHTTP(answer, r)
	if err := k.save(r.Context()); err != nil {
		// 50001 is the registry API's code for an error in its own storage.
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_ = json.NewEncoder(w).Encode(map[string]any{"error_code": 50001, "message": err.Error()})
		return
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // a client that has gone needs no answer
}

// save writes the answer of GET /schemas, beside the file first and then over
// it, so that a crash leaves either the old or the new.
func (k *keeper) save(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "/schemas?deleted=true", nil)
	if err != nil {
		return fmt.Errorf("asking for the schemas: %w", err)
	}
	answer := httptest.NewRecorder()
	k.next.ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		return fmt.Errorf("asking for the schemas: status %d", answer.Code)
	}
	if err := process.ReplaceFile(k.file, answer.Body.Bytes(), 0o600); err != nil {
		return fmt.Errorf("saving the schemas: %w", err)
	}
	return nil
}

// loadSchemas fills an empty registry from the file; no file, no schemas.
func loadSchemas(fake *srfake.Registry, path string) (err error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var schemas []sr.SubjectSchema
	if err := json.Unmarshal(content, &schemas); err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	// A schema may refer to another, which has the lower id.
	slices.SortFunc(schemas, func(a, b sr.SubjectSchema) int { return a.ID - b.ID })
	// The library panics on contradictions; a file that somebody edited is an error.
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("restoring: %v", problem)
		}
	}()
	seeded := make(map[int]bool, len(schemas))
	for _, s := range schemas {
		if !seeded[s.ID] {
			fake.SeedSchema(s.Subject, s.Version, s.ID, s.Schema)
			seeded[s.ID] = true
			continue
		}
		// The same schema under a second subject shares the first one's id.
		id, version, err := fake.RegisterSchema(s.Subject, s.Schema)
		if err != nil {
			return fmt.Errorf("restoring %s: %w", s.Subject, err)
		}
		if id != s.ID || version != s.Version {
			return fmt.Errorf("restoring %s version %d (id %d): got version %d (id %d)", s.Subject, s.Version, s.ID, version, id)
		}
	}
	return nil
}
