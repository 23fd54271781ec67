package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/doorward/doorward/examples/internal/busyport"
)

// TestAddedLines holds the promise of the package comment.
func TestAddedLines(t *testing.T) {
	const most = 30
	file, err := os.Open("main.go")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	added, inside, regions := 0, false, 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		switch line := strings.TrimSpace(lines.Text()); {
		case line == "// doorward":
			inside, regions = true, regions+1
		case line == "// doorward end":
			inside = false
		case inside && line != "":
			added++
		}
	}
	if regions == 0 || inside {
		t.Fatal("the added lines are not marked")
	}
	if added > most {
		t.Errorf("%d lines were added to the application, at most %d are promised", added, most)
	}
	t.Logf("%d lines were added", added)
}

// TestSignIn signs in with a foreign client, restarts the application and goes on
// with the refresh token.
func TestSignIn(t *testing.T) {
	t.Chdir(t.TempDir())
	address := freeAddress(t)
	stop := start(t, address)
	provider, err := oidc.NewProvider(t.Context(), "http://"+address)
	if err != nil {
		t.Fatal(err)
	}
	const callback = "http://127.0.0.1:4711/callback"
	config := oauth2.Config{ClientID: "notes-cli", RedirectURL: callback, Endpoint: provider.Endpoint(), Scopes: []string{"openid", "notes:read"}}
	verifier := oauth2.GenerateVerifier()
	code := signIn(t, config.AuthCodeURL("xyz", oauth2.S256ChallengeOption(verifier), oidc.Nonce("n")), callback)
	tokens, err := config.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	idToken, err := provider.Verifier(&oidc.Config{ClientID: "notes-cli"}).Verify(t.Context(), tokens.Extra("id_token").(string))
	if err != nil {
		t.Fatal(err)
	}
	if idToken.Subject != "alice" || idToken.Nonce != "n" {
		t.Errorf("the ID token is of %q with the nonce %q", idToken.Subject, idToken.Nonce)
	}
	keys := get(t, "http://"+address+"/oauth/jwks")

	stop()
	start(t, address)
	if again := get(t, "http://"+address+"/oauth/jwks"); again != keys {
		t.Errorf("the keys changed with the restart:\n%s\n%s", keys, again)
	}
	refreshed, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token()
	if err != nil {
		t.Fatalf("the refresh token does not outlive the restart: %v", err)
	}
	if refreshed.AccessToken == tokens.AccessToken || refreshed.AccessToken == "" {
		t.Error("the refresh gave no new access token")
	}
}

// signIn goes through the pages as a person does.
func signIn(t *testing.T, start, callback string) (code string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var back *url.URL
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), callback) {
			back = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}}
	page := open(t, browser, start, nil)
	page = open(t, browser, page, url.Values{"name": {"alice"}, "password": {"wonderland"}})
	open(t, browser, page, url.Values{"decision": {"allow"}})
	if back == nil {
		t.Fatalf("the browser did not come back to the client but stands at %s", page)
	}
	if back.Query().Get("state") != "xyz" || back.Query().Get("code") == "" {
		t.Fatalf("the client was answered %s", back)
	}
	return back.Query().Get("code")
}

// open gets a page, or posts a form to it, and returns where the browser stands then.
func open(t *testing.T, browser *http.Client, address string, form url.Values) string {
	t.Helper()
	var resp *http.Response
	var err error
	if form == nil {
		resp, err = browser.Get(address)
	} else {
		if u, err := url.Parse(address); err == nil && u.Query().Has("return_to") {
			form.Set("return_to", u.Query().Get("return_to"))
		}
		resp, err = browser.PostForm(address, form)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 400 {
		t.Fatalf("%s: %s\n%s", resp.Request.URL, resp.Status, body)
	}
	t.Logf("%s: %s", resp.Request.URL.Path, resp.Status)
	return resp.Request.URL.String()
}

func get(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// start runs the application and returns how to end it.
func start(t *testing.T, address string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, address) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the application ended with %v", err)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
	t.Cleanup(stop)
	for range 6000 {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return stop
		}
		select {
		case err := <-done:
			t.Fatalf("the application did not start: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatal("the application did not start in two minutes")
	return stop
}

// freeAddress returns one on which nothing listens. Its port lies below those that systems
// give out by themselves, or somebody else might get it before the application starts.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("localhost:%d", 20_000+rand.IntN(12_000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// A port that is taken is an error that names it, and nobody is sent there before.
func TestBusyPort(t *testing.T) {
	busyport.Test(t, func(busy string) error { return run(t.Context(), busy) })
}
