package attack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/doorward/doorward/storage"
)

// outside is the one host that the server may fetch from, where attackers publish.
type outside struct {
	*httptest.Server
	mu    sync.Mutex
	pages map[string]http.HandlerFunc
	asked map[string]int
}

func newOutside(t testing.TB) *outside {
	t.Helper()
	o := &outside{pages: map[string]http.HandlerFunc{}, asked: map[string]int{}}
	o.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.asked[r.URL.Path]++
		page := o.pages[r.URL.Path]
		o.mu.Unlock()
		if page == nil {
			page = http.NotFound
		}
		page(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *outside) host() string { return strings.TrimPrefix(o.URL, "https://") }

// publish puts a page at a path, in place of what was there.
func (o *outside) publish(path string, page http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pages[path] = page
}

func (o *outside) times(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[path]
}

func answers(status int, media, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// fetchedAttacks are by what others publish. OAuth Client ID Metadata Document §4, §6,
// WB-07, WB-11, WB-12
func fetchedAttacks() []attack {
	return []attack{
		{id: "WB-07", name: "keys that nobody has make nobody fetch", play: func(p *play) {
			const path = "/jwks"
			p.outside.publish(path, answers(http.StatusOK, "application/json", string(jwks(p.robot))))
			keyed := storage.Client{ID: "fetched", TokenEndpointAuthMethod: storage.AuthMethodPrivateKey, JWKSURI: p.outside.URL + path, Scope: "notes:read", GrantTypes: []string{"client_credentials"}}
			if _, _, err := p.server.Clients().Create(p.t.Context(), keyed); err != nil {
				p.t.Fatal(err)
			}
			as := map[string]any{"iss": keyed.ID, "sub": keyed.ID}
			good := func() *answer { return p.send(p.asserted(p.assertion(nil, as))) }
			p.control("its key", good(), gives("access_token"))
			for i := range 40 {
				p.judge("a key of no name", p.send(p.asserted(p.assertion(map[string]any{"kid": fmt.Sprint("none-", i)}, as))), refused("invalid_client"))
			}
			p.control("its key afterwards", good(), gives("access_token"))
			if n := p.outside.times(path); n < 1 || n > 2 { // once, and once more for what was not known
				p.t.Errorf("the keys were fetched %d times", n)
			}
		}},
		{id: "WB-11 documents", name: "a document speaks for its own URL, and gives nobody a secret", play: func(p *play) {
			ask := func(path string, changes ...func(*request)) *answer {
				r := p.authorize("web").from(p.person("alice"))
				set("client_id", p.outside.URL+path)(r)
				set("redirect_uri", "https://notes.test/cb")(r)
				for _, change := range changes {
					change(r)
				}
				return p.send(r)
			}
			document := func(path string, changes map[string]any) http.HandlerFunc {
				text, err := json.Marshal(with(map[string]any{
					"client_id": p.outside.URL + path, "client_name": "Notes", "redirect_uris": []string{"https://notes.test/cb"}, "token_endpoint_auth_method": "none",
				}, changes))
				if err != nil {
					p.t.Fatal(err)
				}
				return answers(http.StatusOK, "application/json", string(text))
			}
			p.outside.publish("/good", document("/good", nil))
			p.control("a good one", ask("/good"), both(accepted, noTokens))
			p.judge("an address that is not in it", ask("/good", set("redirect_uri", "https://evil.test/cb")), stays)
			p.judge("without a page", ask("/good", set("prompt", "none")), noTokens)
			p.judge("its URL in capitals", ask("/good", set("client_id", strings.ToUpper(p.outside.URL)+"/good")), stays)
			p.judge("its URL with a query", ask("/good", set("client_id", p.outside.URL+"/good?x=1")), stays)
			p.judge("its URL with a slash", ask("/good", set("client_id", p.outside.URL+"/good/")), stays)
			n := 0
			for name, page := range map[string]func(path string) http.HandlerFunc{
				"another URL": func(path string) http.HandlerFunc {
					return document(path, map[string]any{"client_id": p.outside.URL + "/good"})
				},
				"our client": func(path string) http.HandlerFunc { return document(path, map[string]any{"client_id": "web"}) },
				"no URL":     func(path string) http.HandlerFunc { return document(path, map[string]any{"client_id": nil}) },
				"a list of URLs": func(path string) http.HandlerFunc {
					return document(path, map[string]any{"client_id": []string{p.outside.URL + path}})
				},
				"a secret": func(path string) http.HandlerFunc {
					return document(path, map[string]any{"client_secret": "everybody-reads-this-0123456789"})
				},
				"a method of secrets": func(path string) http.HandlerFunc {
					return document(path, map[string]any{"token_endpoint_auth_method": "client_secret_post"})
				},
				"a secret that signs": func(path string) http.HandlerFunc {
					return document(path, map[string]any{"token_endpoint_auth_method": "client_secret_jwt"})
				},
				"javascript": func(path string) http.HandlerFunc {
					return document(path, map[string]any{"redirect_uris": []string{"javascript:alert(1)"}})
				},
				"keys inside": func(path string) http.HandlerFunc {
					return document(path, map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://169.254.169.254/latest"})
				},
				"200 kB": func(path string) http.HandlerFunc {
					return document(path, map[string]any{"client_uri": "https://notes.test/" + strings.Repeat("a", 200_000)})
				},
				"a page": func(string) http.HandlerFunc { return answers(http.StatusOK, "text/html", "<h1>x</h1>") },
				"an error": func(path string) http.HandlerFunc {
					return answers(http.StatusInternalServerError, "application/json", "{}")
				},
				"a redirect inside": func(string) http.HandlerFunc {
					return http.RedirectHandler("http://169.254.169.254/latest", http.StatusFound).ServeHTTP
				},
				"a redirect to a good one": func(string) http.HandlerFunc { return http.RedirectHandler("/good", http.StatusFound).ServeHTTP },
			} {
				n++
				path := fmt.Sprint("/", n)
				p.outside.publish(path, page(path))
				p.judge(name, ask(path), both(stays, harmless))
				p.outside.publish(path, document(path, nil)) // a failure is not kept
				p.control("a good one after "+name, ask(path), accepted)
			}
		}},
		{id: "WB-12", name: "what is fetched is kept, and failures are not", play: func(p *play) {
			p.outside.publish("/kept", answers(http.StatusOK, "application/json", inJSON(map[string]any{"client_id": p.outside.URL + "/kept", "redirect_uris": []string{"https://notes.test/cb"}})))
			ask := func(path string) *answer {
				r := p.authorize("web").from(newBrowser())
				set("client_id", p.outside.URL+path)(r)
				set("redirect_uri", "https://notes.test/cb")(r)
				return p.send(r)
			}
			for range 20 {
				p.control("a good one", ask("/kept"), accepted)
			}
			for range 3 {
				p.judge("none", ask("/none"), stays)
			}
			if kept, none := p.outside.times("/kept"), p.outside.times("/none"); kept != 1 || none != 3 {
				p.t.Errorf("the document was fetched %d times, none %d times", kept, none)
			}
		}},
	}
}
