package demo

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

const (
	logoutType  = "logout+jwt"
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
	maxTold     = 64 << 10 // bytes of a logout token's request
)

// told takes the provider's word that a session has ended there, and forgets who
// signed in by it here. OpenID Connect Back-Channel Logout §2.5, §2.7, §2.8
func (a *App) told(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, maxTold)
	ctx, client, err := a.relying(r.Context())
	if err != nil { // the provider tells it again
		http.Error(w, "the provider can't be asked for its keys", http.StatusServiceUnavailable)
		return
	}
	sid, sub, err := client.ended(ctx, r.PostFormValue("logout_token"))
	if err != nil {
		a.config.Logger.InfoContext(ctx, "demo refused a logout token", "err", err)
		http.Error(w, "the logout token is not right", http.StatusBadRequest)
		return
	}
	for _, s := range a.sessions.list() {
		s.end(ctx, client, sid, sub)
	}
}

// ended verifies a logout token and returns which session it names, or whose all of
// them. One that comes twice ends nothing more: a new sign-in after a sign-out is
// another session. OpenID Connect Back-Channel Logout §2.6
func (c *relying) ended(ctx context.Context, raw string) (sid, sub string, err error) {
	var header struct {
		Type string `json:"typ"`
	}
	first, _, _ := strings.Cut(raw, ".")
	if text, err := base64.RawURLEncoding.DecodeString(first); err != nil || json.Unmarshal(text, &header) != nil || header.Type != logoutType {
		return "", "", errors.New("it is not of the type " + logoutType) // an ID token must not sign anybody out
	}
	verified, err := c.verifier.Verify(ctx, raw) // signature, iss, aud and exp, as of an ID token
	if err != nil {
		return "", "", err
	}
	var claims struct {
		SID    string                     `json:"sid"`
		Events map[string]json.RawMessage `json:"events"`
	}
	if err := verified.Claims(&claims); err != nil {
		return "", "", err
	}
	switch {
	case claims.Events[logoutEvent] == nil:
		return "", "", errors.New("it names no such event")
	case verified.Nonce != "":
		return "", "", errors.New("it has a nonce, which is forbidden to it")
	case claims.SID == "" && verified.Subject == "":
		return "", "", errors.New("it names neither a session nor a person")
	}
	return claims.SID, verified.Subject, nil
}

// end forgets who is signed in, if by the session sid of the provider, or if sid is
// empty and the person is sub. Like every sign-out it tries what is left of the tokens.
func (s *session) end(ctx context.Context, client *relying, sid, sub string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := s.account
	if who == nil || who.claims["sid"] != sid && (sid != "" || who.claims["sub"] != sub) {
		return
	}
	s.account = nil
	s.result = &result{Title: "You were signed out", Text: "The provider told this application that your session there has ended, from server to server."}
	if who.token.RefreshToken != "" {
		client.tryAgain(ctx, who.token.RefreshToken, s.result)
	}
}

// list returns the sessions there are. Who holds one of them may ask for the lock of
// all, so this lock is free again before any of them is taken.
func (s *sessions) list() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*session, 0, len(s.all))
	for _, one := range s.all {
		all = append(all, one)
	}
	return all
}
