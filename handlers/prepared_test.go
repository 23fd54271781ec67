package handlers

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/internal/engine"
)

// TestPreparedAnswersAsServe: who gets a prepared answer on the short way gets what serve
// gives, in every case. RFC 9110 §13.1.2
func TestPreparedAnswersAsServe(t *testing.T) {
	w := newWorld(t, options{})
	metadata, err := w.h.Metadata(Endpoints{}, Offer{})
	if err != nil {
		t.Fatal(err)
	}
	for place, serve := range map[string]http.HandlerFunc{"metadata": metadata, "jwks": w.h.JWKS} {
		send := func(method, known string, before http.Header) *http.Response {
			r := httptest.NewRequest(method, "/", nil)
			if known != "" {
				r.Header.Set("If-None-Match", known)
			}
			rec := httptest.NewRecorder()
			maps.Copy(rec.Header(), before)
			serve(rec, r)
			return rec.Result()
		}
		tag := send(http.MethodGet, "", nil).Header.Get("ETag")
		for _, c := range []struct {
			method, known string
			status        int
		}{
			{http.MethodGet, "", http.StatusOK},
			{http.MethodHead, "", http.StatusOK},
			{http.MethodGet, `"other"`, http.StatusOK},
			{http.MethodGet, tag, http.StatusNotModified},
			{http.MethodGet, `"other", W/` + tag, http.StatusNotModified},
			{http.MethodHead, "*", http.StatusNotModified},
			{http.MethodPost, "", http.StatusMethodNotAllowed},
		} {
			short := send(c.method, c.known, nil)
			// Headers of somebody who stands before us are kept apart until the end.
			long := send(c.method, c.known, http.Header{"X-Before": {"kept"}, "Vary": {"Cookie"}, "Cache-Control": {"private"}})
			if long.Header.Get("X-Before") != "kept" || long.Header.Get("Vary") != "Cookie" {
				t.Errorf("%s %s: what stood there before is now %v", place, c.method, long.Header)
			}
			for _, header := range []http.Header{short.Header, long.Header} {
				for _, own := range []string{"X-Request-Id", "X-Before", "Vary"} {
					header.Del(own)
				}
			}
			if short.StatusCode != c.status || long.StatusCode != c.status {
				t.Errorf("%s %s with %q: %d and %d, want %d", place, c.method, c.known, short.StatusCode, long.StatusCode, c.status)
			}
			if diff := cmp.Diff(long.Header, short.Header); diff != "" {
				t.Errorf("%s %s with %q differs on the short way (-serve +short):\n%s", place, c.method, c.known, diff)
			}
		}
	}
}

// TestResponseLeavesNothingBehind: what an endpoint set before it was refused does not
// reach whoever is answered, though the map of headers is theirs.
func TestResponseLeavesNothingBehind(t *testing.T) {
	rec := httptest.NewRecorder()
	out := responseTo(rec)
	out.Header().Set("Content-Type", "text/html")
	out.Header().Add("Set-Cookie", "a=b")
	_, _ = out.Write([]byte("half of a page"))
	out.reset("Set-Cookie")
	out.WriteHeader(http.StatusTeapot)
	out.send(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if rec.Code != http.StatusTeapot || rec.Body.Len() != 0 || rec.Header().Get("Content-Type") != "" || rec.Header().Get("Set-Cookie") != "a=b" {
		t.Errorf("%d %v %q", rec.Code, rec.Header(), rec.Body)
	}
}

// rewriting is a ResponseWriter of a host's middleware that changes headers where they are,
// as one may: they are those of its answer.
type rewriting struct{ http.ResponseWriter }

func (w rewriting) WriteHeader(status int) {
	for _, values := range w.Header() {
		for i := range values {
			values[i] = "changed"
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// TestHeadersAreThoseOfOneAnswer: what a host's middleware does to the headers of an answer
// is not seen in another one.
func TestHeadersAreThoseOfOneAnswer(t *testing.T) {
	w := newWorld(t, options{})
	metadata, err := w.h.Metadata(Endpoints{}, Offer{})
	if err != nil {
		t.Fatal(err)
	}
	json := func(out http.ResponseWriter, r *http.Request) {
		w.h.serve(out, r, rule{name: "token", methods: toRead}, func(out http.ResponseWriter, _ *http.Request) *engine.Error {
			return answerJSON(out, map[string]any{})
		})
	}
	for place, serve := range map[string]http.HandlerFunc{"metadata": metadata, "jwks": w.h.JWKS, "json": json, "userinfo": w.h.UserInfo} {
		for name, before := range map[string]http.Header{"nothing": {}, "a header of its own": {"X-Before": {"kept"}}} {
			get := func(rewrites bool) http.Header {
				rec := httptest.NewRecorder()
				maps.Copy(rec.Header(), before.Clone())
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				if rewrites {
					serve(rewriting{rec}, r)
				} else {
					serve(rec, r)
				}
				header := rec.Result().Header
				header.Del("X-Request-Id")
				return header
			}
			first := get(false)
			if changed := get(true); changed.Get("Cache-Control") != "changed" {
				t.Fatalf("%s, %s: the middleware changed nothing: %v", place, name, changed)
			}
			if diff := cmp.Diff(first, get(false)); diff != "" {
				t.Errorf("%s, %s: what one answer was changed to is seen in the next (-before +after):\n%s", place, name, diff)
			}
		}
	}
}
