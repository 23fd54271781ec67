package handlers

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A host's own request ID reaches the answer, the hooks and the log, when it is fit for a
// header and a line of the log; another is made where it is not.
func TestRequestIDOfTheHost(t *testing.T) {
	var hook string
	w := newWorld(t, options{login: ExistingSession{LoginURL: "/login", CurrentUser: func(r *http.Request) (Subject, error) {
		hook = RequestID(r.Context())
		return Subject{ID: "alice", SessionID: "s"}, nil
	}}})
	for chosen, taken := range map[string]bool{
		"": false, "host-7.a_B": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false,
		"two words": false, "a\r\nSet-Cookie: b=c": false, "ä": false,
	} {
		ctx := t.Context()
		if chosen != "" {
			ctx = WithRequestID(ctx, chosen)
		}
		ask := func(query string) string {
			t.Helper()
			answer := httptest.NewRecorder()
			w.h.Authorize(answer, httptest.NewRequest(http.MethodGet, w.url+query, nil).WithContext(ctx))
			return answer.Header().Get("X-Request-Id")
		}
		got := ask(w.authorize("own"))
		if hook != got || taken != (got == chosen) || !taken && len(got) != 16 {
			t.Errorf("%q: the answer has %q, the hook %q", chosen, got, hook)
		}
		if refused := ask("/oauth/authorize"); !strings.Contains(w.logged(), "request_id="+refused+" ") {
			t.Errorf("%q: the log lacks %q", chosen, refused)
		}
	}
	if id := RequestID(t.Context()); id != "" {
		t.Errorf("outside of a request the ID is %q", id)
	}
}
