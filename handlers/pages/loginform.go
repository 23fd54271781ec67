package pages

import (
	"bytes"
	"crypto/rand"
	"strings"
	"sync"
)

const (
	// mostLogins is how many login pages are kept: one for each client, language and state.
	mostLogins = 256
	// plainAction is what the URL of an interaction is made of, and what HTML escapes
	// nowhere: such a URL stands in the attribute of a form as it is.
	plainAction = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./?="
)

// logins are login pages as they came out of their template, less the URL that their forms
// post to: all else is the same for everybody whom a client sends. Only the template that
// ships is known to use the URL for nothing else; it is safe for concurrent use.
type logins struct {
	mu   sync.Mutex
	mark string // stands for the URL; nobody knows it, so no name of a client holds it
	kept map[loginKey][]string
}

type loginKey struct {
	language *Language
	assets   string
	page     Login // without the URL
}

func newLogins() *logins { return &logins{mark: "/" + rand.Text(), kept: map[loginKey][]string{}} }

// repeats says whether a page may be put together from one that is kept: nobody typed any
// of it, and its URL needs no escaping.
func (k *logins) repeats(p Page) (Login, bool) {
	login, ok := p.(Login)
	ok = ok && k != nil && login.Username == "" && login.Error == "" && strings.HasPrefix(login.Action, "/") &&
		!strings.HasPrefix(login.Action, "//") && strings.Trim(login.Action, plainAction) == ""
	return login, ok
}

// render appends the page to out. execute is its template, which is asked once.
func (k *logins) render(out *bytes.Buffer, l *Language, assets string, login Login, execute func(*bytes.Buffer, Page) error) error {
	action := login.Action
	login.Action = ""
	key := loginKey{l, assets, login}
	k.mu.Lock()
	parts, ok := k.kept[key]
	k.mu.Unlock()
	if !ok {
		login.Action = k.mark
		var whole bytes.Buffer
		if err := execute(&whole, login); err != nil {
			return err
		}
		parts = strings.Split(whole.String(), k.mark)
		k.mu.Lock()
		if len(k.kept) >= mostLogins {
			clear(k.kept) // whoever has so many clients gets no less by it than without
		}
		k.kept[key] = parts
		k.mu.Unlock()
	}
	size := (len(parts) - 1) * len(action)
	for _, part := range parts {
		size += len(part)
	}
	out.Grow(size)
	for i, part := range parts {
		if i > 0 {
			out.WriteString(action)
		}
		out.WriteString(part)
	}
	return nil
}
