package engine

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/doorward/doorward/storage"
)

// prompts are the values of prompt that are understood: create only where somebody
// takes in new people. OpenID Connect Core §3.1.2.1, Initiating User Registration §4
func (e *Engine) prompts() []string {
	known := []string{"none", "login", "consent", "select_account"}
	if e.config.SignUp {
		known = append(known, "create")
	}
	return known
}

// maxMaxAge bounds max_age to what a time.Duration holds.
const maxMaxAge = 1 << 33

// readPerson reads what the request wants of the person and their sign-in.
func (a *Authorization) readPerson(form url.Values, prompts []string) *Error {
	a.Nonce, a.LoginHint, a.Display = form.Get("nonce"), form.Get("login_hint"), form.Get("display")
	a.ACRValues, a.UILocales = words(form.Get("acr_values")), words(form.Get("ui_locales"))
	a.Prompt = words(form.Get("prompt"))
	for _, p := range a.Prompt {
		switch {
		case !slices.Contains(prompts, p):
			return refuse(codeInvalidRequest, "prompt_unknown",
				"The prompt "+quote(p)+" is not known: use "+strings.Join(prompts, ", ")+".")
		case p == "none" && len(a.Prompt) > 1:
			return refuse(codeInvalidRequest, "prompt_contradictory", "The prompt 'none' can not stand beside others.")
		}
	}
	if sent := form.Get("max_age"); sent != "" {
		seconds, err := strconv.ParseUint(sent, 10, 64)
		if err != nil || seconds > maxMaxAge {
			return refuse(codeInvalidRequest, "max_age_malformed", "The max_age "+quote(sent)+" is not a number of seconds, 0 or more.")
		}
		age := time.Duration(seconds) * time.Second
		a.MaxAge = &age
	}
	return nil
}

// readHint reads the ID token that says whom the client expects. One that was given
// to another client says nothing here. OpenID Connect Core §3.1.2.1
func (e *Engine) readHint(ctx context.Context, a *Authorization, form url.Values) error {
	token := form.Get("id_token_hint")
	if token == "" {
		return nil
	}
	hint, err := e.ReadHint(ctx, token)
	switch {
	case errors.Is(err, storage.ErrUnavailable):
		return err
	case err != nil:
		return refuse(codeInvalidRequest, "id_token_hint_invalid", "The id_token_hint is not an ID token of this server.").cause(err)
	case hint.ClientID != a.Client.ID:
		return refuse(codeInvalidRequest, "id_token_hint_invalid", "The id_token_hint was issued to another client.").
			detail("it was issued to %s", quote(hint.ClientID))
	}
	a.Hint = hint
	return nil
}

// checkChallenge asks for PKCE with S256 of every client that is not exempt. A
// challenge that no verifier can meet is refused before anybody signs in for it. The
// exemption is advised where it may be given alone.
// RFC 7636 §4.2, §4.4.1, RFC 9700 §2.1.1
func (e *Engine) checkChallenge(c *storage.Client, form url.Values) *Error {
	challenge, method := form.Get("code_challenge"), form.Get("code_challenge_method")
	switch {
	case challenge == "" && method == "" && exemptFromPKCE(c):
		return nil
	case challenge == "":
		refusal := refuse(codeInvalidRequest, "pkce_required",
			"The parameter code_challenge is missing: PKCE with code_challenge_method=S256 is required.")
		switch {
		case c.Public():
			return refusal.detail("without a secret nothing else protects the code: turn PKCE on in the client")
		case e.config.NoExceptions:
			return refusal.detail("the profile of the server allows no exception: turn PKCE on in the client")
		}
		return refusal.setting("insecure.skip_pkce")
	case method != "S256":
		return refuse(codeInvalidRequest, "pkce_method_unsupported",
			"The code_challenge_method "+quote(method)+" is not supported: send code_challenge_method=S256.")
	}
	wrong := slices.ContainsFunc([]byte(challenge), func(c byte) bool { return !isBase64URL(c) })
	if wrong || len(challenge) != challengeLength {
		return refuse(codeInvalidRequest, "pkce_challenge_malformed",
			"The code_challenge is not a SHA-256 in base64url without padding, which has 43 characters.").
			detail("it has %d characters", len(challenge))
	}
	return nil
}

const challengeLength = 43

// exemptFromPKCE says whether a client may leave out the challenge: a public one
// has nothing else that protects its codes.
func exemptFromPKCE(c *storage.Client) bool { return c.Insecure.SkipPKCE && !c.Public() }

func words(s string) []string {
	return slices.DeleteFunc(strings.Split(s, " "), func(w string) bool { return w == "" })
}
