package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage/memory"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", file, diff)
	}
}

// nobody is a Login that signs nobody in.
func nobody(http.ResponseWriter, *http.Request, *handlers.Interaction) {}

// valid is a Config without problems, fast to start.
func valid(t *testing.T) server.Config {
	t.Helper()
	return server.Config{
		Issuer: "https://id.example.com", Store: memory.New(), Login: handlers.LoginFunc(nobody),
		Scopes: []server.Scope{{Name: "notes:read"}, {Name: "notes:write"}},
		Keys:   server.Keys{Algorithms: []string{"ES256"}},
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

func start(t *testing.T, c server.Config) *server.Server {
	t.Helper()
	s, err := server.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// request asks a handler.
func request(h http.Handler, method, url string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, url, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return serve(h, r)
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// indented makes a JSON document readable.
func indented(t *testing.T, body []byte) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, body, "", "  "); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return strings.TrimSpace(out.String()) + "\n"
}

// fields are the fields of all problems in an error.
func fields(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("the error is no list of problems: %v", err)
	}
	var names []string
	for _, e := range joined.Unwrap() {
		var p *server.Problem
		if !errors.As(e, &p) {
			t.Fatalf("no Problem: %v", e)
		}
		if p.Found == "" || p.Want == "" {
			t.Errorf("the problem %v does not say what was found and what to write", p)
		}
		names = append(names, p.Field)
	}
	return names
}

// clock is a clock that stands until it is moved.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }
