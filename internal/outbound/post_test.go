package outbound

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestPost(t *testing.T) {
	o := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("logout_token") != "a b&c" || r.URL.Query().Get("q") != "1" {
			t.Errorf("came: %v, %v", r.URL, r.PostForm)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	form := url.Values{"logout_token": {"a b&c"}}
	if status, err := o.free().Post(t.Context(), o.URL+"/?q=1", form); err != nil || status != http.StatusNoContent {
		t.Errorf("%d, %v", status, err)
	}
	if _, err := New(Options{Roots: o.roots}).Post(t.Context(), o.URL, form); !errors.Is(err, errClosed) {
		t.Errorf("an address that is not on the open Internet: %v", err)
	}
	if o.requests.Load() != 1 {
		t.Errorf("%d requests arrived", o.requests.Load())
	}
}

func TestPostFollowsNothing(t *testing.T) {
	o := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/else", http.StatusTemporaryRedirect)
	})
	if status, err := o.free().Post(t.Context(), o.URL, nil); err != nil || status != http.StatusTemporaryRedirect || o.requests.Load() != 1 {
		t.Errorf("%d, %v, %d requests", status, err, o.requests.Load())
	}
}

func TestPostSlow(t *testing.T) {
	end := make(chan struct{})
	o := serve(t, func(http.ResponseWriter, *http.Request) { <-end })
	defer close(end)
	c := New(Options{Hosts: []string{o.host}, Roots: o.roots, Time: 50 * time.Millisecond})
	began := time.Now()
	if _, err := c.Post(t.Context(), o.URL, nil); err == nil || time.Since(began) > time.Minute {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// TestPostLoopback reaches http on this machine, and only where that is wanted. RFC 6761 §6.3
func TestPostLoopback(t *testing.T) {
	o := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer o.Close()
	local := New(Options{Loopback: true})
	for _, to := range []string{o.URL, strings.Replace(o.URL, "127.0.0.1", "localhost", 1)} {
		if status, err := local.Post(t.Context(), to, nil); err != nil || status != http.StatusOK {
			t.Errorf("%s: %d, %v", to, status, err)
		}
	}
	if _, err := New(Options{}).Post(t.Context(), o.URL, nil); !errors.Is(err, ErrURL) {
		t.Errorf("on a server of the Internet: %v", err)
	}
	for _, to := range []string{"http://10.0.0.1/", "http://localhost.example/", "http://a@localhost/", "http://localhost/#x", "ftp://localhost/", "", "http://2130706433/"} {
		if err := CheckPostURL(to, true); !errors.Is(err, ErrURL) {
			t.Errorf("%q: %v", to, err)
		}
	}
}
