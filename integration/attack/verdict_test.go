package attack

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// verdict says what is wrong with an answer, nil for nothing.
type verdict func(*answer) error

// refused is an error of one of these codes, or of any when there are none. Nothing is
// given out with it.
func refused(codes ...string) verdict {
	return func(a *answer) error {
		if err := noTokens(a); err != nil {
			return err
		}
		code := a.failure()
		switch {
		case a.location() != nil && code != "":
		case a.status >= 400 && a.status < 500:
		default:
			return fmt.Errorf("it was served: %d", a.status)
		}
		if len(codes) > 0 && !slices.Contains(codes, code) {
			return fmt.Errorf("the error is %q, want one of %q", code, codes)
		}
		return nil
	}
}

// stays is a refusal that sends the browser nowhere.
func stays(a *answer) error {
	if to := a.location(); to != nil {
		return fmt.Errorf("the browser is sent to %s", to)
	}
	if a.status < 400 || a.status > 499 {
		return fmt.Errorf("it was served: %d", a.status)
	}
	return noTokens(a)
}

// status is one of these, and nothing is given out.
func status(codes ...int) verdict {
	return func(a *answer) error {
		if !slices.Contains(codes, a.status) {
			return fmt.Errorf("the status is %d, want one of %v", a.status, codes)
		}
		return noTokens(a)
	}
}

func noTokens(a *answer) error {
	for _, name := range []string{"access_token", "refresh_token", "id_token", "device_code", "request_uri"} {
		if a.field(name) != nil {
			return fmt.Errorf("it gave out a %s", name)
		}
	}
	if to := a.location(); to != nil && (to.Query().Has("code") || to.Query().Has("access_token") || strings.Contains(to.Fragment, "code=")) {
		return fmt.Errorf("it gave out a code: %s", to)
	}
	return nil
}

// gives is a success with these members.
func gives(names ...string) verdict {
	return func(a *answer) error {
		if a.status != http.StatusOK && a.status != http.StatusCreated {
			return fmt.Errorf("the status is %d", a.status)
		}
		for _, name := range names {
			if a.field(name) == nil {
				return fmt.Errorf("there is no %s", name)
			}
		}
		return nil
	}
}

// shows is a page with these words.
func shows(words ...string) verdict {
	return func(a *answer) error {
		if a.status != http.StatusOK {
			return fmt.Errorf("the status is %d", a.status)
		}
		return says(words...)(a)
	}
}

// says is any answer with these words.
func says(words ...string) verdict {
	return func(a *answer) error {
		for _, word := range words {
			if !strings.Contains(string(a.body), word) {
				return fmt.Errorf("there is no %q", word)
			}
		}
		return nil
	}
}

// code is a redirect to the client with a code.
func code(a *answer) error {
	if to := a.location(); to == nil || to.Query().Get("code") == "" {
		return fmt.Errorf("the client got no code")
	}
	return nil
}

// accepted is a request that leads on: to the client with a code, or to a person who is
// asked, as for clients that anybody can pretend to be. RFC 8252 §8.6
func accepted(a *answer) error {
	if to := a.location(); to != nil && strings.HasPrefix(to.Path, "/oauth/interaction/") {
		return nil
	}
	return code(a)
}

// active is what introspection says of a token.
func active(want bool) verdict {
	return func(a *answer) error {
		if got := a.field("active"); a.status != http.StatusOK || got != want {
			return fmt.Errorf("active is %v, want %v", got, want)
		}
		if !want && strings.TrimSpace(string(a.body)) != `{"active":false}` {
			return fmt.Errorf("it tells more than that it is not active")
		}
		return nil
	}
}

// both is one verdict after another.
func both(all ...verdict) verdict {
	return func(a *answer) error {
		for _, v := range all {
			if err := v(a); err != nil {
				return err
			}
		}
		return nil
	}
}

// either is one of these verdicts.
func either(all ...verdict) verdict {
	return func(a *answer) error {
		var last error
		for _, v := range all {
			if last = v(a); last == nil {
				return nil
			}
		}
		return last
	}
}
