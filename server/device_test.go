package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

func television() storage.Client {
	return storage.Client{
		ID: "tv", TokenEndpointAuthMethod: storage.AuthMethodNone, Scope: "openid notes:read", DefaultScope: "notes:read",
		GrantTypes: []string{storage.GrantDeviceCode, storage.GrantRefreshToken},
	}
}

// The grant is off until it is asked for, and a client that needs it is told so.
func TestDeviceGrantIsASwitch(t *testing.T) {
	off := valid(t)
	off.Clients = []storage.Client{television()}
	_, err := server.New(t.Context(), off)
	if err == nil || !strings.Contains(err.Error(), "set Config.DeviceGrant") {
		t.Errorf("a client of devices without the grant: %v", err)
	}
	on := valid(t)
	on.DeviceGrant, on.Clients, on.Lifetimes.DeviceCode = true, []storage.Client{television()}, 90*time.Second
	s := start(t, on)
	var told map[string]any
	body := request(s.Handler(), http.MethodGet, on.Issuer+"/.well-known/openid-configuration").Body.Bytes()
	if err := json.Unmarshal(body, &told); err != nil || told["device_authorization_endpoint"] == nil || !strings.Contains(string(body), storage.GrantDeviceCode) {
		t.Errorf("discovery tells %s, %v", body, err)
	}
	endpoint, _ := told["device_authorization_endpoint"].(string)
	r := httptest.NewRequest(http.MethodPost, endpoint, strings.NewReader(url.Values{"client_id": {"tv"}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	out := httptest.NewRecorder()
	s.Handler().ServeHTTP(out, r)
	if err := json.Unmarshal(out.Body.Bytes(), &told); err != nil || told["expires_in"] != 90.0 {
		t.Fatalf("the device is told %d %s", out.Code, out.Body)
	}
	page, _ := told["verification_uri_complete"].(string)
	if got := request(s.Handler(), http.MethodGet, page); got.Code != http.StatusOK {
		t.Errorf("%s answers %d", page, got.Code)
	}

	for _, c := range []struct {
		change func(*server.Config)
		wrong  string
	}{
		{func(c *server.Config) { c.Lifetimes.DeviceCode = 2 * time.Hour }, "Lifetimes.DeviceCode"},
		{func(c *server.Config) {
			c.Grants = []handlers.Grant{{Type: storage.GrantDeviceCode, Exchange: func(context.Context, *handlers.GrantRequest) (*handlers.GrantResult, error) { return nil, nil }}}
		}, "which DeviceGrant brings"},
	} {
		bad := valid(t)
		bad.DeviceGrant = true
		c.change(&bad)
		if _, err := server.New(t.Context(), bad); err == nil || !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("the error is %v, want one that says %s", err, c.wrong)
		}
	}
}
