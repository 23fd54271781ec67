package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
)

// exchange and refresh belong to the words that act, but keep what they get.

func (s *scene) exchange(args []string) error {
	extra, err := pairs(args[1:])
	if err != nil {
		return err
	}
	s.world.journal.turn()
	if err := s.take(s.world.exchange(args[0], s.value("code"), s.value("verifier"), extra)); err != nil {
		return err
	}
	s.keepTokens()
	return nil
}

func (s *scene) refresh(args []string) error {
	extra, err := pairs(args[2:])
	if err != nil {
		return err
	}
	s.world.journal.turn()
	if err := s.take(s.world.refresh(args[0], args[1], extra)); err != nil {
		return err
	}
	s.keepTokens()
	return nil
}

func (s *scene) keepTokens() {
	for name, member := range map[string]string{"access": "access_token", "refresh": "refresh_token", "id_token": "id_token"} {
		if value := s.last.text(member); value != "" {
			s.env(name, value)
		}
	}
}

func (s *scene) status(args []string) error {
	if got := fmt.Sprint(s.last.status); got != args[0] {
		return fmt.Errorf("the status is not %s: %s", args[0], s.last)
	}
	return nil
}

func matches(pattern, text string) (bool, error) {
	re, err := regexp.Compile("(?s)" + pattern)
	if err != nil {
		return false, err
	}
	if !re.MatchString(text) {
		return false, fmt.Errorf("%q does not match %s", text, pattern)
	}
	return true, nil
}

func (s *scene) header(args []string) (bool, error) {
	values := s.last.header.Values(args[0])
	if len(values) == 0 {
		return false, fmt.Errorf("there is no %s", args[0])
	}
	if len(args) == 1 {
		return true, nil
	}
	return matches(args[1], strings.Join(values, "\n"))
}

func (s *scene) json(args []string) (bool, error) {
	value, ok := s.last.field(args[0])
	switch {
	case !ok:
		return false, fmt.Errorf("there is no %s", args[0])
	case len(args) == 1:
		return true, nil
	case plain(value) != args[1]:
		return false, fmt.Errorf("%s is %s, not %s", args[0], plain(value), args[1])
	}
	return true, nil
}

func (s *scene) body(args []string) (bool, error) {
	return matches(args[0], string(s.last.body))
}

// answer checks what the client was told, in the redirect or in a form.
func (s *scene) answer(args []string) error {
	want, err := pairs(args[1:])
	if err != nil {
		return err
	}
	client := s.world.clients[args[0]]
	to, got, err := s.last.told()
	if err != nil {
		return err
	}
	if client == nil || !slices.ContainsFunc(slices.Concat(client.RedirectURIs, client.PostLogoutRedirectURIs), func(uri string) bool {
		return to == uri || strings.HasPrefix(to, uri)
	}) {
		return fmt.Errorf("the answer went to %s, which is not %s", to, args[0])
	}
	for name, values := range want {
		switch given := got[name]; {
		case values[0] == "" && len(given) > 0:
			return fmt.Errorf("the client was told %s=%s", name, given[0])
		case values[0] != "" && !slices.Equal(given, values):
			return fmt.Errorf("the client was told %s=%q, not %q; all of it: %v", name, given, values, got)
		}
	}
	return nil
}

// told reads where an answer went and what it said.
func (r *reply) told() (to string, params url.Values, err error) {
	if u := r.location(); u != nil {
		params = u.Query()
		u.RawQuery = ""
		return u.String(), params, nil
	}
	forms, err := r.forms()
	if err != nil {
		return "", nil, err
	}
	if len(forms) == 1 && strings.Contains(forms[0].action, "://") {
		return forms[0].action, forms[0].fields, nil
	}
	return "", nil, fmt.Errorf("no client was answered: %s", r)
}

func (s *scene) reason(args []string) error {
	if got := s.world.journal.reasons(); !slices.Equal(got, args) {
		return fmt.Errorf("the log names the reasons %q, not %q; the last answer was %s", got, args, s.last)
	}
	return nil
}

func (s *scene) log(args []string) (bool, error) {
	return matches(args[0], s.world.journal.since())
}

func (s *scene) event(args []string) (bool, error) {
	if !s.world.seen(args[0]) {
		return false, errors.New("there was no such event")
	}
	return true, nil
}

// jwt looks at a claim of a token that verifies against the published keys.
func (s *scene) jwt(args []string) (bool, error) {
	ctx := oidc.ClientContext(context.Background(), &http.Client{Transport: s.world})
	payload, err := oidc.NewRemoteKeySet(ctx, s.world.endpoint("jwks")).VerifySignature(ctx, args[0])
	if err != nil {
		return true, err // it is no question of yes or no
	}
	r := &reply{body: payload}
	value, ok := r.field(args[1])
	switch {
	case !ok:
		return false, fmt.Errorf("there is no claim %s in %s", args[1], payload)
	case len(args) > 2 && plain(value) != args[2]:
		return false, fmt.Errorf("the claim %s is %s, not %s", args[1], plain(value), args[2])
	}
	return true, nil
}

func (s *scene) cookie(args []string) (bool, error) {
	home, err := url.Parse(s.world.issuer)
	if err != nil {
		return true, err
	}
	var names []string
	for _, c := range s.at.client.Jar.Cookies(home) {
		if strings.Contains(c.Name, args[0]) {
			return true, nil
		}
		names = append(names, c.Name)
	}
	return false, fmt.Errorf("the cookies are %q", names)
}

func (s *scene) set(args []string) error {
	value, ok := s.last.field(args[1])
	if !ok {
		return fmt.Errorf("there is no %s in %s", args[1], s.last)
	}
	s.env(args[0], plain(value))
	return nil
}

// works asks userinfo about an access token, leaving the last answer as it is.
func (s *scene) works(args []string) (bool, error) {
	answer, err := send(&http.Client{Transport: s.world}, http.MethodGet, s.world.endpoint("userinfo"), http.Header{"Authorization": {"Bearer " + args[0]}}, "")
	if err != nil {
		return true, err
	}
	if answer.status == http.StatusOK {
		return true, nil
	}
	if answer.status != http.StatusUnauthorized {
		return true, fmt.Errorf("userinfo answered %s", answer)
	}
	var refusal struct{ Error string }
	if json.Unmarshal(answer.body, &refusal) != nil || refusal.Error != "invalid_token" {
		return true, fmt.Errorf("userinfo answered %s", answer)
	}
	return false, errors.New("userinfo refuses the token")
}
