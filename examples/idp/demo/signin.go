package demo

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

type start struct {
	Base   string
	Result *result
}

// home shows the way in, or who is signed in.
func (a *App) home(w http.ResponseWriter, r *http.Request) {
	s := a.sessions.of(r)
	if s == nil {
		a.show(w, r, http.StatusOK, "start.html", start{Base: a.path})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.account == nil {
		page := start{Base: a.path, Result: s.result}
		s.result = nil
		a.show(w, r, http.StatusOK, "start.html", page)
		return
	}
	a.showAccount(w, r, s)
}

// login sends the browser to the provider. OpenID Connect Core §3.1.2.1, RFC 7636
func (a *App) login(w http.ResponseWriter, r *http.Request) {
	_, client, err := a.relying(r.Context())
	if err != nil {
		a.unreachable(w, r, err)
		return
	}
	s := a.sessions.of(r)
	if s == nil {
		var id string
		s, id = a.sessions.begin()
		a.setCookie(w, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state, f := rand.Text(), flow{nonce: rand.Text(), verifier: oauth2.GenerateVerifier(), began: time.Now()}
	s.start(state, f)
	http.Redirect(w, r, client.oauth.AuthCodeURL(state, oidc.Nonce(f.nonce), oauth2.S256ChallengeOption(f.verifier)), http.StatusSeeOther)
}

// callback takes the answer of the provider.
func (a *App) callback(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	s := a.sessions.of(r)
	if s == nil {
		a.fail(w, r, http.StatusBadRequest, "This sign-in began elsewhere",
			"It began in another browser, under another address, or before this application was started anew.", "no session cookie came with the answer")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, known := s.finish(query.Get("state"))
	if !known {
		a.fail(w, r, http.StatusBadRequest, "This sign-in is over", "It was completed before, or took too long.", "the state of the answer is not one that was given")
		return
	}
	// The answer must come from the provider that was asked. RFC 9207 §2.4
	if iss := query.Get("iss"); subtle.ConstantTimeCompare([]byte(iss), []byte(a.config.Issuer)) != 1 {
		a.fail(w, r, http.StatusBadRequest, "The answer is not from the provider", "Please start again.", fmt.Sprintf("iss is %q, not %q", iss, a.config.Issuer))
		return
	}
	if code := query.Get("error"); code != "" {
		title, text := "The provider refused", "Please start again."
		if code == "access_denied" {
			title, text = "You are not signed in", "You did not allow this application what it asked for. That is fine; nothing was shared."
		}
		a.fail(w, r, http.StatusOK, title, text, code+": "+query.Get("error_description"))
		return
	}
	ctx, client, err := a.relying(r.Context())
	if err != nil {
		a.unreachable(w, r, err)
		return
	}
	account, err := client.redeem(ctx, query.Get("code"), f)
	if err != nil {
		status := http.StatusBadGateway
		if refused := (*oauth2.RetrieveError)(nil); errors.As(err, &refused) && refused.Response.StatusCode < http.StatusInternalServerError {
			status = http.StatusBadRequest // the code that came is at fault
		}
		a.fail(w, r, status, "The sign-in could not be completed", "Please start again.", err.Error())
		return
	}
	s.account = account
	s.result = &result{Title: "The sign-in is complete", Text: "The code was redeemed with its PKCE verifier, and the ID token it brought was verified."}
	a.setCookie(w, a.sessions.renew(r, s))
	a.back(w, r)
}

// redeem exchanges the code and verifies the ID token. OpenID Connect Core §3.1.3
func (c *relying) redeem(ctx context.Context, code string, f flow) (*account, error) {
	token, err := c.oauth.Exchange(ctx, code, oauth2.VerifierOption(f.verifier))
	if err != nil {
		return nil, err
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, errors.New("the provider gave no ID token")
	}
	verified, claims, err := c.verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(f.nonce)) != 1 {
		return nil, errors.New("the nonce of the ID token is not the one that was given")
	}
	if verified.AccessTokenHash != "" {
		if err := verified.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, err
		}
	}
	return &account{token: token, idToken: raw, claims: claims}, nil
}

func (c *relying) verify(ctx context.Context, raw string) (*oidc.IDToken, map[string]any, error) {
	verified, err := c.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, nil, err
	}
	claims := map[string]any{}
	return verified, claims, verified.Claims(&claims)
}

func (a *App) unreachable(w http.ResponseWriter, r *http.Request, err error) {
	a.fail(w, r, http.StatusBadGateway, "The provider can’t be asked", "Please try again in a moment.", err.Error())
}
