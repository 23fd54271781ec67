package bearer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/internal/jws"
)

// TestOutage holds what happens while the issuer can't be asked: keys serve an hour
// longer, a key that is not known proves nothing either way, and the issuer is asked
// again after a pause.
func TestOutage(t *testing.T) {
	i := newIssuer(t)
	v := i.remote()
	verify := func(k jws.Key) error {
		_, err := v.Verify(t.Context(), signWith(t, k, "at+jwt", i.claims(nil)))
		return err
	}
	fail := func(fails bool) {
		i.change(func() {
			i.answer = nil
			if fails {
				i.answer = func(w http.ResponseWriter, _ *http.Request) bool {
					w.WriteHeader(http.StatusBadGateway)
					return true
				}
			}
		})
	}
	fail(true)
	for range 10 {
		if err := verify(i.key); !errors.Is(err, bearer.ErrUnavailable) || errors.Is(err, bearer.ErrInvalid) {
			t.Errorf("at first: %v, want ErrUnavailable", err)
		}
	}
	if got := i.count("/.well-known/oauth-authorization-server"); got != 1 {
		t.Errorf("a failing issuer was asked %d times in a moment, want 1", got)
	}
	fail(false)
	i.advance(6 * time.Second)
	if err := verify(i.key); err != nil {
		t.Fatalf("after the pause: %v", err)
	}

	fail(true)
	unknown := newKey(t, jws.ES256)
	if err := verify(unknown); !errors.Is(err, bearer.ErrUnavailable) {
		t.Errorf("an unknown key during an outage: %v, want ErrUnavailable", err)
	}
	if err := verify(i.key); err != nil {
		t.Errorf("a known key during an outage: %v", err)
	}
	i.advance(time.Hour)
	if err := verify(i.key); err != nil {
		t.Errorf("a known key an hour later: %v", err)
	}
	i.advance(time.Hour)
	if err := verify(i.key); !errors.Is(err, bearer.ErrUnavailable) {
		t.Errorf("a known key two hours later: %v, want ErrUnavailable", err)
	}
	fail(false)
	i.advance(6 * time.Second)
	if err := verify(i.key); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

// TestIssuerMisbehaves holds that nothing but a proper answer is taken.
func TestIssuerMisbehaves(t *testing.T) {
	const metadata = "/.well-known/oauth-authorization-server"
	answer := func(path string, body func(*issuer) string) func(*issuer) {
		return func(i *issuer) {
			i.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != path {
					return false
				}
				fmt.Fprint(w, body(i))
				return true
			}
		}
	}
	text := func(s string) func(*issuer) string { return func(*issuer) string { return s } }
	endless := strings.Repeat(" ", 64<<10)
	for name, change := range map[string]func(*issuer){
		"metadata of another issuer":      func(i *issuer) { i.document["issuer"] = i.url + "/" },
		"metadata without an issuer":      func(i *issuer) { delete(i.document, "issuer") },
		"metadata that are HTML":          answer(metadata, text("<html>")),
		"endless metadata":                answer(metadata, func(i *issuer) string { return encode(t, i.document) + endless }),
		"keys in the clear":               func(i *issuer) { i.document["jwks_uri"] = "http://keys.example/jwks" },
		"keys in a file":                  func(i *issuer) { i.document["jwks_uri"] = "file:///etc/passwd" },
		"keys behind a name and password": func(i *issuer) { i.document["jwks_uri"] = "https://a:b@keys.example/jwks" },
		"keys that are no set":            answer("/jwks", text(`{"a":1}`)),
		"endless keys":                    answer("/jwks", func(i *issuer) string { return encode(t, map[string]any{"keys": i.public()}) + endless }),
		"a redirect": func(i *issuer) {
			i.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/jwks" {
					return false
				}
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
				return true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			change(i)
			v := i.remote(func(c *bearer.RemoteConfig) { c.HTTP = &http.Client{Transport: anywhere{i}} })
			_, err := v.Verify(t.Context(), i.sign("at+jwt", i.claims(nil)))
			if !errors.Is(err, bearer.ErrUnavailable) {
				t.Errorf("%v, want ErrUnavailable", err)
			}
			if i.count("/elsewhere") != 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}

// TestAnywhere holds that the rows above fail for their own reason alone, and that an
// issuer elsewhere can't send an API to its own loopback.
func TestAnywhere(t *testing.T) {
	for _, c := range []struct {
		issuer, keys string
		want         error
	}{
		{"http://127.0.0.1:1", "http://127.0.0.1:2/jwks", nil},
		{"https://id.example.com", "https://keys.example.com/jwks", nil},
		{"https://id.example.com", "http://127.0.0.1/jwks", bearer.ErrUnavailable},
		{"https://id.example.com", "http://localhost/jwks", bearer.ErrUnavailable},
	} {
		i := newIssuer(t)
		i.url = c.issuer
		i.document = map[string]any{"issuer": c.issuer, "jwks_uri": c.keys}
		v := i.remote(func(c *bearer.RemoteConfig) { c.HTTP = &http.Client{Transport: anywhere{i}} })
		if _, err := v.Verify(t.Context(), i.sign("at+jwt", i.claims(nil))); !errors.Is(err, c.want) {
			t.Errorf("%s with keys at %s: %v, want %v", c.issuer, c.keys, err, c.want)
		}
	}
}

// anywhere has the issuer answer for every host, so that a request which should not be
// made succeeds.
type anywhere struct{ i *issuer }

func (a anywhere) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	a.i.ServeHTTP(w, r)
	return w.Result(), nil
}

func encode(t *testing.T, v any) string {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Error(err)
	}
	return string(body)
}

// TestSlowIssuer holds that an issuer which does not answer holds nobody up for long.
func TestSlowIssuer(t *testing.T) {
	release := make(chan struct{})
	host := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer host.Close()
	defer close(release)
	v, err := bearer.NewRemote(bearer.RemoteConfig{
		Issuer: host.URL, Resource: resource, HTTP: &http.Client{Timeout: 50 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	token := signWith(t, newKey(t, jws.ES256), "at+jwt", map[string]any{})
	begin := time.Now()
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, bearer.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	if d := time.Since(begin); d > time.Minute {
		t.Errorf("it took %v", d)
	}
}

// TestOneFetch holds that many first callers make one fetch, also when the one who
// makes it goes away, and that one who waits can leave.
func TestOneFetch(t *testing.T) {
	i := newIssuer(t)
	reached, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(reached) })
		<-release
		i.ServeHTTP(w, r)
	}))
	defer front.Close()
	i.url = front.URL
	i.document = map[string]any{"issuer": i.url, "jwks_uri": i.url + "/jwks"}
	v := i.remote()
	token := i.sign("at+jwt", i.claims(nil))

	ctx, leave := context.WithCancel(t.Context())
	results := make(chan error, 50)
	verify := func(ctx context.Context) {
		_, err := v.Verify(ctx, token)
		results <- err
	}
	go verify(ctx)
	<-reached
	for range 48 {
		go verify(t.Context())
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Verify(gone, token); !errors.Is(err, bearer.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("one who left: %v", err)
	}
	leave()
	close(release)
	for range 49 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if i.count("/jwks") != 1 || i.count("/.well-known/oauth-authorization-server") != 1 {
		t.Errorf("the issuer was asked %v", i.asked)
	}
}
