package engine

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// readable are the parameters of an authorize request that are text for programs and for
// people. Of those that are not here some are compared with what is known (redirect_uri,
// resource, scope), some are read by a form of their own (claims, request, code_challenge),
// and the rest means nothing to us.
var readable = []string{"state", "nonce", "login_hint", "display", "prompt", "ui_locales", "acr_values", "response_type", "response_mode", "max_age", "id_token_hint", "dpop_jkt"}

// wellFormed refuses parameters that came twice, and text that is none: it would
// not survive being stored, or would end the line that a client writes of it in its log.
// RFC 6749 §3.1
func wellFormed(form url.Values, twice []string) *Error {
	if len(twice) > 0 {
		return repeated(twice[0])
	}
	for name, values := range form {
		if !utf8.ValidString(name) || slices.ContainsFunc(values, func(v string) bool { return !utf8.ValidString(v) }) {
			return refuse(codeInvalidRequest, "parameter_malformed", "The parameter "+quote(name)+" is not valid UTF-8.")
		}
	}
	for _, name := range readable {
		if strings.ContainsFunc(form.Get(name), unicode.IsControl) {
			return refuse(codeInvalidRequest, "parameter_malformed", "The parameter "+name+" has control characters.")
		}
	}
	for _, name := range []string{"scope", "audience", "resource"} {
		if n := wordsIn(form[name]); n > maxWords {
			return refuse(codeInvalidRequest, "parameter_malformed", "The parameter "+name+" has more than 100 values.").detail("it has %d", n)
		}
	}
	return nil
}

// stateOf returns the state that an answer takes back: none where it came twice or has
// control characters, since what is refused is not sent on to the client. Letters beyond
// ASCII, which a state should not have, harm nobody. RFC 6749 §A.5
func stateOf(form url.Values, twice []string) string {
	if state := form.Get("state"); !slices.Contains(twice, "state") && !strings.ContainsFunc(state, unicode.IsControl) {
		return state
	}
	return ""
}

// maxWords bounds what is compared word by word, before anybody has authenticated.
const maxWords = 100

func wordsIn(values []string) int {
	n := len(values)
	for _, v := range values {
		n += strings.Count(v, " ")
	}
	return n
}
