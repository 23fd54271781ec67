package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"
)

// fact is one row of a table.
type fact struct{ Name, Value, Hint string }

// signedIn is the data of the page.
type signedIn struct {
	Base, Who     string
	Result        *result
	Claims        []fact
	UserInfo      []fact
	UserInfoError string
	Tokens        []fact
}

// showAccount shows what is known of who is signed in.
func (a *App) showAccount(w http.ResponseWriter, r *http.Request, s *session) {
	page := signedIn{
		Base: a.path, Who: greeting(s.account.claims), Result: s.result,
		Claims: claimFacts(s.account.claims), Tokens: tokenFacts(s.account),
	}
	s.result = nil
	ctx, client, err := a.relying(r.Context())
	if err == nil {
		page.UserInfo, err = client.userinfo(ctx, s.account)
	}
	if err != nil {
		page.UserInfoError = "Userinfo was refused: " + err.Error() + ". When this application's access was taken away at the provider, its tokens have ended: sign out here, and in again."
	}
	a.show(w, r, http.StatusOK, "signedin.html", page)
}

// userinfo asks the provider by the access token as it is, without a refresh, and
// checks that the answer is about the same person. OpenID Connect Core §5.3.2
func (c *relying) userinfo(ctx context.Context, who *account) ([]fact, error) {
	info, err := c.provider.UserInfo(ctx, oauth2.StaticTokenSource(who.token))
	if err != nil {
		return nil, err
	}
	if info.Subject != who.claims["sub"] {
		return nil, errors.New("the answer is about somebody else")
	}
	claims := map[string]any{}
	if err := info.Claims(&claims); err != nil {
		return nil, err
	}
	return claimFacts(claims), nil
}

// userinfo shows the page with what userinfo says at this moment.
func (a *App) userinfo(w http.ResponseWriter, r *http.Request) {
	a.withAccount(w, r, func(context.Context, *relying, *session) *result {
		return &result{Title: "Userinfo was asked again", Text: "What it says stands below."}
	})
}

// refresh exchanges the refresh token. RFC 6749 §6
func (a *App) refresh(w http.ResponseWriter, r *http.Request) {
	a.withAccount(w, r, func(ctx context.Context, client *relying, s *session) *result {
		before := s.account.token
		// A token without an access token is always exchanged.
		token, err := client.oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: before.RefreshToken}).Token()
		if err != nil {
			return &result{Bad: true, Title: "The refresh was refused", Text: err.Error()}
		}
		s.account.token = token
		lines := []string{
			"Access token: " + part(before.AccessToken) + " became " + part(token.AccessToken),
			"Refresh token: " + part(before.RefreshToken) + " became " + part(token.RefreshToken),
		}
		if raw, _ := token.Extra("id_token").(string); raw != "" {
			verified, claims, err := client.verify(ctx, raw)
			if err != nil || verified.Subject != s.account.claims["sub"] {
				return &result{Bad: true, Title: "The new ID token is not right", Text: fmt.Sprint(err), Lines: lines}
			}
			s.account.idToken, s.account.claims = raw, claims
			lines = append(lines, "ID token: a new one came and was verified")
		}
		return &result{Title: "The tokens were refreshed", Lines: lines}
	})
}

// withAccount does something for who is signed in, and shows the page with what
// came of it, by a GET.
func (a *App) withAccount(w http.ResponseWriter, r *http.Request, do func(context.Context, *relying, *session) *result) {
	s := a.sessions.of(r)
	if s == nil {
		a.back(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.account != nil {
		ctx, client, err := a.relying(r.Context())
		if err != nil {
			a.unreachable(w, r, err)
			return
		}
		s.result = do(ctx, client, s)
	}
	a.back(w, r)
}

// logout forgets who is signed in and asks the provider to do the same. OpenID
// Connect RP-Initiated Logout §2
func (a *App) logout(w http.ResponseWriter, r *http.Request) {
	s := a.sessions.of(r)
	if s == nil {
		a.back(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.account == nil {
		a.back(w, r)
		return
	}
	_, client, err := a.relying(r.Context())
	if err != nil {
		a.unreachable(w, r, err)
		return
	}
	var metadata struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := client.provider.Claims(&metadata); err != nil || metadata.EndSession == "" {
		s.account = nil
		a.show(w, r, http.StatusOK, "signedout.html", signedOut{Base: a.path})
		return
	}
	state := rand.Text()
	clear(s.leaving)
	s.leaving[state] = s.account.token.RefreshToken
	query := url.Values{
		"id_token_hint": {s.account.idToken}, "client_id": {client.oauth.ClientID},
		"post_logout_redirect_uri": {SignedOutURI(a.config.Base)}, "state": {state},
	}
	s.account = nil
	http.Redirect(w, r, metadata.EndSession+"?"+query.Encode(), http.StatusSeeOther)
}

type signedOut struct {
	Base     string
	Provider bool // the provider sent the browser back
	Result   *result
}

// signedOut shows what the sign-out came to, and tries the refresh token that is
// left: it must be worth nothing.
func (a *App) signedOut(w http.ResponseWriter, r *http.Request) {
	page := signedOut{Base: a.path}
	defer func() { a.show(w, r, http.StatusOK, "signedout.html", page) }()
	s := a.sessions.of(r)
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state := r.URL.Query().Get("state")
	refresh, known := s.leaving[state]
	delete(s.leaving, state)
	if !known {
		return
	}
	page.Provider = true
	page.Result = &result{Title: "The provider sent you back", Lines: []string{"It returned the state that this application gave it"}}
	if refresh == "" {
		return
	}
	ctx, client, err := a.relying(r.Context())
	if err != nil {
		return
	}
	client.tryAgain(ctx, refresh, page.Result)
}

// tryAgain tries a refresh token that must be worth nothing, and notes what came of it.
func (c *relying) tryAgain(ctx context.Context, refresh string, in *result) {
	var refused *oauth2.RetrieveError
	switch _, err := c.oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh}).Token(); {
	case errors.As(err, &refused):
		in.Lines = append(in.Lines, "The refresh token from before is refused: "+refused.ErrorCode)
	case err == nil:
		in.Bad = true
		in.Lines = append(in.Lines, "The refresh token from before still works")
	}
}
