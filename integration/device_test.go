package integration

import (
	"context"
	"errors"
	"net/http"
	"net/url"
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
