package integration

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/server"
)

// reachable makes a world that a browser can reach, on a port of this machine.
func reachable(t *testing.T, p plan) *world {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	p.issuer = "http://127.0.0.1:" + port
	w := start(t, p)
	s := &httptest.Server{Listener: listener, Config: &http.Server{Handler: w.handler}}
	s.Start()
	t.Cleanup(s.Close)
	return w
}

// framed is a client whose sign-out page is shown in a frame.
type framed struct {
	*httptest.Server
	hang chan struct{} // not nil: its sign-out page does not come until this is closed

	mu   sync.Mutex
	came []url.Values
}

func newFramed(t *testing.T, hang chan struct{}) *framed {
	t.Helper()
	f := &framed{hang: hang}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/out":
			f.mu.Lock()
			f.came = append(f.came, r.URL.Query())
			f.mu.Unlock()
			if f.hang != nil {
				<-f.hang
			}
		case "/bye":
			_, _ = w.Write([]byte("<title>Bye</title><link rel=icon href=data:,><p>Goodbye with " + r.URL.Query().Get("state")))
		}
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *framed) visits() []url.Values {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.came
}

// TestFrontchannelInBrowser signs out with a client that answers and one that never
// does: both are asked for, and the browser goes on within seconds, without a script.
// OpenID Connect Front-Channel Logout §2, §3
func TestFrontchannelInBrowser(t *testing.T) {
	b := chromium(t)
	free := make(chan struct{})
	quick, stuck := newFramed(t, nil), newFramed(t, free)
	defer close(free)
	w := reachable(t, plan{configure: func(c *server.Config) {
		for i := range c.Clients {
			for id, f := range map[string]*framed{"web": quick, "other": stuck} {
				if c.Clients[i].ID == id {
					c.Clients[i].RedirectURIs = append(c.Clients[i].RedirectURIs, f.URL+"/cb")
					c.Clients[i].FrontchannelLogoutURI, c.Clients[i].FrontchannelLogoutSessionRequired = f.URL+"/out?at="+id, true
					c.Clients[i].PostLogoutRedirectURIs = append(c.Clients[i].PostLogoutRedirectURIs, f.URL+"/bye")
				}
			}
		}
	}})
	for _, client := range []string{"web", "other"} {
		address, _ := w.authorizeURL(client, url.Values{"redirect_uri": {map[string]string{"web": quick.URL, "other": stuck.URL}[client] + "/cb"}, "scope": {"openid"}})
		b.open(address)
		if client == "web" {
			b.fill("username", "alice")
			b.fill("password", people["alice"])
			b.press("Sign in")
		}
		b.see("Allow")
		b.press("Allow")
		b.see(w.clients[client].RedirectURIs[1])
	}
	b.open(w.endpoint("logout") + "?" + url.Values{"client_id": {"web"}, "post_logout_redirect_uri": {quick.URL + "/bye"}, "state": {"s-1"}}.Encode())
	b.see("Sign out?")
	began := time.Now()
	b.press("Sign out")
	b.see("Goodbye with s-1") // while one frame still waits
	t.Logf("it took %v to go on", time.Since(began).Round(time.Millisecond))
	for _, f := range []*framed{quick, stuck} {
		came := f.visits()
		if len(came) != 1 || came[0].Get("iss") != w.issuer || came[0].Get("sid") == "" || came[0].Get("at") == "" {
			t.Errorf("the sign-out page was asked for %v", came)
		}
	}
	b.quiet("favicon.ico")
}

// TestFrontchannelPage holds the page that signs people out elsewhere to its policy.
func TestFrontchannelPage(t *testing.T) {
	w := start(t, plan{configure: func(c *server.Config) {
		for i := range c.Clients {
			if id := c.Clients[i].ID; id == "web" || id == "other" {
				c.Clients[i].FrontchannelLogoutURI = "https://" + id + ".test/out"
			}
		}
	}})
	alice := w.person()
	tokens := tokensOf(t, w, alice, "web", "alice")
	tokensOf(t, w, alice, "other", "alice")
	tokensOf(t, w, alice, "own", "alice")
	out, err := alice.open(w.endpoint("logout") + "?" + url.Values{
		"id_token_hint": {tokens.text("id_token")}, "post_logout_redirect_uri": {"https://web.test/bye"}, "state": {"a b"},
	}.Encode())
	if err != nil || out.status != http.StatusOK {
		t.Fatalf("%v %s", err, out)
	}
	policy := out.header.Get("Content-Security-Policy")
	if frames := strings.Fields(policy[strings.Index(policy, "frame-src")+len("frame-src"):]); len(frames) != 2 ||
		!strings.Contains(policy, "https://web.test") || !strings.Contains(policy, "https://other.test") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("the policy is %s", policy)
	}
	if refresh := out.header.Get("Refresh"); refresh != "3; url=https://web.test/bye?state=a+b" {
		t.Errorf("it goes on by %q", refresh)
	}
	for _, want := range []string{"https://web.test/out?iss=https%3A%2F%2Fid.test&amp;sid=" + sidOf(t, tokens), `href="https://web.test/bye?state=a&#43;b"`, "https://other.test/out"} {
		if !strings.Contains(string(out.body), want) {
			t.Errorf("the page lacks %s:\n%s", want, out)
		}
	}
	// Nobody is signed in any more, so a second time there is nothing to wait for.
	again, err := alice.open(w.endpoint("logout") + "?" + url.Values{
		"id_token_hint": {tokens.text("id_token")}, "post_logout_redirect_uri": {"https://web.test/bye"},
	}.Encode())
	if err != nil || again.location() == nil || strings.Contains(again.header.Get("Content-Security-Policy"), "frame-src") {
		t.Errorf("%v %s", err, again)
	}
}
