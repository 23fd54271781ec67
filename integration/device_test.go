package integration

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// withDevices turns the device grant on, with a television that anybody may own and a
// box that can keep a secret.
func withDevices(c *server.Config) {
	c.DeviceGrant = true
	const scope = "openid offline_access notes:read"
	c.Clients = append(c.Clients,
		storage.Client{
			ID: "tv", Name: "Notes TV", TokenEndpointAuthMethod: storage.AuthMethodNone, Scope: scope,
			GrantTypes: []string{storage.GrantDeviceCode, storage.GrantRefreshToken},
		},
		storage.Client{
			ID: "box", Name: "Notes Box", Secret: "secret-of-box-0123456789abcdef", Scope: scope, DefaultScope: "notes:read", FirstParty: true,
			GrantTypes: []string{storage.GrantDeviceCode},
		})
}

// answerDevice is the person: types the code, signs in where that is asked, and answers.
func (p *person) answerDevice(w *world, link, decision string) error {
	if _, err := p.open(link); err != nil {
		return err
	}
	if _, err := p.submit(nil); err != nil { // the code is filled in
		return err
	}
	if _, err := p.submit(url.Values{"username": {"alice"}, "password": {people["alice"]}}); err != nil {
		return err
	}
	_, err := p.submit(url.Values{"decision": {decision}})
	return err
}

// A program that knows only what golang.org/x/oauth2 knows signs in on a device, waits
// for the person, and refreshes.
func TestDeviceOfOAuth2(t *testing.T) {
	if testing.Short() {
		t.Skip("a device waits 5 seconds between two polls")
	}
	t.Parallel() // it waits most of the time
	w := start(t, plan{configure: withDevices})
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: w})
	config := &oauth2.Config{
		ClientID: "tv", Scopes: []string{"openid", "offline_access", "notes:read"},
		Endpoint: oauth2.Endpoint{
			TokenURL: w.endpoint("token"), DeviceAuthURL: w.endpoint("device_authorization"), AuthStyle: oauth2.AuthStyleInParams,
		},
	}
	begun, err := config.DeviceAuth(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(begun.Expiry); left < 9*time.Minute || left > 10*time.Minute || begun.Interval != 5 {
		t.Errorf("the codes are valid for %s, the interval is %d", left, begun.Interval)
	}
	answered := make(chan error, 1)
	go func() {
		time.Sleep(6 * time.Second) // after the first poll
		answered <- w.person().answerDevice(w, begun.VerificationURIComplete, "allow")
	}()
	tokens, err := config.DeviceAccessToken(ctx, begun)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if tokens.AccessToken == "" || tokens.RefreshToken == "" || tokens.Extra("id_token") == nil {
		t.Errorf("the device got %+v", tokens)
	}
	tokens.Expiry = time.Now().Add(-time.Minute)
	if _, err := config.TokenSource(ctx, tokens).Token(); err != nil {
		t.Errorf("refresh: %v", err)
	}

	// Who says no is heard.
	if begun, err = config.DeviceAuth(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.person().answerDevice(w, begun.VerificationURIComplete, "deny"); err != nil {
		t.Fatal(err)
	}
	_, err = config.DeviceAccessToken(ctx, begun)
	if told := (*oauth2.RetrieveError)(nil); !errors.As(err, &told) || told.ErrorCode != "access_denied" {
		t.Errorf("the device is told %v", err)
	}
}

// Every step of a device and of its person is one commit, a poll that finds nothing
// new is none, and neither code comes to the log.
func TestDeviceCommits(t *testing.T) {
	w := start(t, plan{configure: withDevices})
	alice := w.person()
	counted := func(what string, most int64, do func() (*reply, error)) *reply {
		t.Helper()
		before := w.gate.count.Load()
		answer, err := do()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := w.gate.count.Load() - before; got != most {
			t.Errorf("%s made %d commits, not %d; %s", what, got, most, answer)
		}
		return answer
	}
	post := func(place string, fields url.Values) func() (*reply, error) {
		return func() (*reply, error) {
			return send(alice.client, http.MethodPost, w.endpoint(place), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, fields.Encode())
		}
	}
	begun := counted("asking for codes", 1, post("device_authorization", url.Values{"client_id": {"tv"}, "scope": {"openid"}}))
	poll := post("token", url.Values{"client_id": {"tv"}, "grant_type": {storage.GrantDeviceCode}, "device_code": {begun.text("device_code")}})
	counted("a first poll", 0, poll)
	counted("a poll that is too early", 0, poll)
	counted("a wrong code", 1, post("device", url.Values{"user_code": {"BBBB-BBBB"}}))
	claimed := counted("typing the code", 1, post("device", url.Values{"user_code": {begun.text("user_code")}}))
	here := claimed.location()
	if here == nil {
		t.Fatalf("the code was not taken: %s", claimed)
	}
	open := func() (*reply, error) { return send(alice.client, http.MethodGet, here.String(), nil, "") }
	answerStep := func(step string, fields url.Values) func() (*reply, error) {
		return func() (*reply, error) {
			return send(alice.client, http.MethodPost, here.String()+"?step="+step, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, fields.Encode())
		}
	}
	counted("finding out who is there", 1, open)
	counted("the login page", 0, open)
	counted("signing in", 1, answerStep("login", url.Values{"username": {"alice"}, "password": {people["alice"]}}))
	counted("the question", 0, open)
	counted("the answer", 1, answerStep("consent", url.Values{"decision": {"allow"}}))
	counted("the end", 0, open)
	counted("a double click", 0, answerStep("consent", url.Values{"decision": {"allow"}}))
	if got := counted("the tokens", 1, poll); got.status != http.StatusOK {
		t.Errorf("the device got %s", got)
	}
	counted("a poll after it", 0, poll)
	for _, secret := range []string{begun.text("device_code"), begun.text("user_code"), strings.ReplaceAll(begun.text("user_code"), "-", "")} {
		if bytes.Contains(w.journal.all(), []byte(secret)) {
			t.Errorf("the log has %q", secret)
		}
	}
}
