package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

const badge = "urn:example:badge"

// exchangeBadge gives tokens to who holds a badge.
func exchangeBadge(_ context.Context, r *handlers.GrantRequest) (*handlers.GrantResult, error) {
	switch number := r.Form.Get("badge"); {
	case number == "":
		return nil, &handlers.GrantError{Code: "invalid_request", Description: "The parameter badge is missing."}
	case number == "lost":
		return nil, handlers.Refuse("the badge was reported lost")
	case number == "wrong":
		return nil, &handlers.GrantError{Description: "No such badge.", Detail: "reader 7"}
	case number == "broken":
		return nil, errors.New("the reader is down")
	case number == "nothing":
		return nil, nil
	case r.Client.Secret != "" || len(r.Client.Secrets) > 0 || r.Form.Has("client_secret"):
		return nil, errors.New("the exchange sees a secret")
	default:
		return &handlers.GrantResult{
			Subject: handlers.Subject{ID: "person-" + number}, Scopes: r.Scopes, Refresh: true,
			Extra: map[string]any{"door": "north", "access_token": "of the hook's own"},
		}, nil
	}
}

// A further grant is one entry of Config: clients may be registered for it, discovery
// tells of it, and its tokens are as all others. RFC 6749 §4.5
func TestFurtherGrant(t *testing.T) {
	c := valid(t)
	c.Grants = []handlers.Grant{{Type: badge, Exchange: exchangeBadge}}
	c.Clients = []storage.Client{
		{ID: "reader", Secret: "a secret of the reader's", GrantTypes: []string{badge, storage.GrantRefreshToken}, Scope: "openid notes:read"},
		{ID: "other", Secret: "a secret of the other's", GrantTypes: []string{storage.GrantClientCredentials}, Scope: "notes:read"},
	}
	s := start(t, c)
	h := s.Handler()
	var metadata struct {
		Grants []string `json:"grant_types_supported"`
	}
	body := request(h, http.MethodGet, c.Issuer+"/.well-known/openid-configuration").Body
	if err := json.Unmarshal(body.Bytes(), &metadata); err != nil || !slices.Contains(metadata.Grants, badge) || len(metadata.Grants) != 4 {
		t.Errorf("the metadata tell of %q, %v", metadata.Grants, err)
	}
	token := func(id, secret string, form url.Values) (int, map[string]any) {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, c.Issuer+"/oauth/token", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
		w := serve(h, r)
		var answer map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		return w.Code, answer
	}
	exchange := func(number string) (int, map[string]any) {
		t.Helper()
		return token("reader", "a secret of the reader's", url.Values{"grant_type": {badge}, "badge": {number}, "scope": {"openid notes:read"}})
	}
	status, answer := exchange("17")
	if status != http.StatusOK || answer["door"] != "north" || answer["id_token"] == nil || answer["scope"] != "openid notes:read" {
		t.Fatalf("%d: %v", status, answer)
	}
	if access, _ := answer["access_token"].(string); !strings.HasPrefix(access, "dwa_") {
		t.Errorf("the hook put a token of its own into the answer: %v", answer)
	}
	refresh, _ := answer["refresh_token"].(string)
	renew := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
	if status, answer := token("reader", "a secret of the reader's", renew); status != http.StatusOK {
		t.Errorf("the refresh is refused: %v", answer)
	}
	if status, answer := token("other", "a secret of the other's", url.Values{"grant_type": {badge}, "badge": {"17"}}); status != http.StatusBadRequest || answer["error"] != "unauthorized_client" {
		t.Errorf("a client that is not registered for the grant gets %d: %v", status, answer)
	}
	for number, want := range map[string]string{
		"": "400 invalid_request", "lost": "400 invalid_grant", "wrong": "400 invalid_grant", "broken": "500 server_error", "nothing": "500 server_error",
	} {
		status, answer := exchange(number)
		if got := fmt.Sprint(status, " ", answer["error"]); got != want {
			t.Errorf("badge %q: %s, want %s", number, got, want)
		}
		if text, _ := answer["error_description"].(string); strings.Contains(text, "reader") {
			t.Errorf("badge %q: the client is told %q", number, text)
		}
	}
	made := storage.Client{ID: "gate", GrantTypes: []string{badge}, Scope: "notes:read"}
	if _, _, err := s.Clients().Create(t.Context(), made); err != nil {
		t.Errorf("a client of the grant is refused: %v", err)
	}
	made.ID, made.GrantTypes = "wall", []string{"urn:example:unknown"}
	if _, _, err := s.Clients().Create(t.Context(), made); !errors.Is(err, server.ErrInvalid) || !strings.Contains(err.Error(), badge) {
		t.Errorf("a client of an unknown grant: %v", err)
	}
}

// A grant that writes to what it was given changes nothing of what the client asked for.
func TestGrantThatWritesToItsRequest(t *testing.T) {
	c := valid(t)
	c.Grants = []handlers.Grant{{Type: badge, Exchange: func(_ context.Context, r *handlers.GrantRequest) (*handlers.GrantResult, error) {
		r.Audience[0], r.Form["resource"][0], r.Scopes[0] = "https://other.test", "https://other.test", "openid"
		return &handlers.GrantResult{Subject: handlers.Subject{ID: "alice"}, Scopes: []string{"notes:read"}}, nil
	}}}
	c.Clients = []storage.Client{{
		ID: "reader", Secret: "a secret of the reader's", GrantTypes: []string{badge}, Scope: "openid notes:read", Audiences: []string{"https://api.test", "https://other.test"},
	}}
	s := start(t, c)
	form := url.Values{"grant_type": {badge}, "scope": {"notes:read"}, "resource": {"https://api.test"}}
	r := httptest.NewRequest(http.MethodPost, c.Issuer+"/oauth/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("reader", url.QueryEscape("a secret of the reader's"))
	var answer struct {
		Token string `json:"access_token"`
	}
	if w := serve(s.Handler(), r); w.Code != http.StatusOK || json.Unmarshal(w.Body.Bytes(), &answer) != nil {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	token, err := s.Verify(t.Context(), answer.Token)
	if err != nil || !slices.Equal(token.Audience, []string{"https://api.test"}) {
		t.Errorf("%+v, %v", token, err)
	}
}
