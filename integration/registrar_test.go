package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/doorward/doorward/storage"
)

// registrar is an operator who registers clients and removes some of them again while
// the server is killed, and a person who allows each of them something.
type registrar struct {
	*process
	who    *person
	admin  *http.Client
	number atomic.Int64 // of the next client
	made   []*registration
}

// registration is what became of one client.
type registration struct {
	id      string
	pending string // what was asked last and never answered: add, consent, exchange, remove

	consented, removed bool // acknowledged
	access             string
}

// socket has every binary of this test listen for its operator at a path that is short
// enough.
func socket(t *testing.T) (path string) {
	t.Helper()
	folder, err := os.MkdirTemp("", "dw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	path = filepath.Join(folder, "s")
	t.Setenv("DOORWARD_ADMIN_SOCKET", path)
	return path
}

func newRegistrar(p *process, path string) *registrar {
	return &registrar{process: p, who: p.person(), admin: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}}
}

// call asks the operator's API.
func (r *registrar) call(method, path string, body any) (*reply, error) {
	text := ""
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		text = string(encoded)
	}
	return send(r.admin, method, "http://operator"+path, http.Header{"Content-Type": {"application/json"}}, text)
}

// work registers one client, lets the person use it, and removes it sometimes; false
// when the server is gone.
func (r *registrar) work() bool {
	n := r.number.Add(1)
	c := storage.Client{
		ID: fmt.Sprintf("registered-%d", n), RedirectURIs: []string{fmt.Sprintf("https://r%d.test/cb", n)},
		Scope: "openid profile offline_access notes:read", GrantTypes: []string{storage.GrantAuthorizationCode, storage.GrantRefreshToken},
	}
	made := &registration{id: c.ID, pending: "add"}
	r.made = append(r.made, made)
	answer, err := r.call(http.MethodPost, "/clients", c)
	if err != nil || answer.status != http.StatusOK {
		return false
	}
	c.Secret = storage.Secret(answer.text("client_secret"))
	r.entering.Lock()
	r.clients[c.ID] = &c
	r.entering.Unlock()
	made.pending = "consent"
	code, verifier, err := r.code(r.who, c.ID, "alice", nil)
	if err != nil {
		return false
	}
	made.consented, made.pending = true, "exchange"
	if answer, err = r.exchange(c.ID, code, verifier, nil); err != nil || answer.status != http.StatusOK {
		return false
	}
	made.access, made.pending = answer.text("access_token"), ""
	if n%3 == 0 {
		made.pending = "remove"
		if answer, err = r.call(http.MethodDelete, "/clients/="+c.ID, nil); err != nil || answer.status != http.StatusOK {
			return false
		}
		made.removed, made.pending = true, ""
	}
	return true
}

// judge holds the server to one registration.
func (r *registrar) judge(t *testing.T, made *registration, found *tally) {
	t.Helper()
	must := (&worker{process: r.process}).must(t)
	shown := must(r.call(http.MethodGet, "/clients/="+made.id, nil))
	there := shown.status == http.StatusOK
	switch {
	case made.pending == "add":
		if there && (shown.text("scope") == "" || shown.text("redirect_uris") == "") {
			t.Errorf("half a client was registered: %s", shown)
		}
		return
	case made.removed:
		found.removed++
		if there || made.access != "" && r.works(t, made.access) {
			t.Errorf("a client whose removal was acknowledged is back: %s", shown)
		}
		return
	case made.pending == "remove":
		if !there && r.works(t, made.access) {
			t.Error("a client is removed, and its token works")
		}
		return
	case !there:
		t.Errorf("a client whose registration was acknowledged is lost: %s", shown)
		return
	}
	found.registered++
	if answer := must(r.post("introspect", made.id, url.Values{"token": {"x"}})); answer.status != http.StatusOK {
		t.Errorf("the secret of a client that was registered does not work: %s", answer)
	}
	if made.access != "" && !r.works(t, made.access) {
		t.Error("an access token of a registered client is lost")
	}
	if made.consented {
		found.consents++
		silent, _ := r.authorizeURL(made.id, url.Values{"prompt": {"none"}})
		if to := must(send(r.who.client, http.MethodGet, silent, nil, "")).location(); to == nil || to.Query().Get("code") == "" {
			t.Errorf("a consent that was acknowledged is lost: %v", to)
		}
	}
}
