package integration

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// trace is one form in which a secret might stand somewhere.
type trace struct {
	what  string // the secret and the form
	bytes []byte
}

// tracker finds the traces of many secrets in one pass over a text.
type tracker struct {
	begins [1 << 16]bool // by two bytes, to pass quickly over most of the text
	by     map[[4]byte][]trace
}

func newTracker(known map[string]string) *tracker {
	t := &tracker{by: map[[4]byte][]trace{}}
	for value, what := range known {
		for _, found := range traces(what, value) {
			head := [4]byte(found.bytes) // of 8 bytes at least, see secrets.add
			t.begins[int(head[0])<<8|int(head[1])] = true
			t.by[head] = append(t.by[head], found)
		}
	}
	return t
}

// in returns what stands in a text, each once.
func (t *tracker) in(text []byte) (found []string) {
	for i := range max(0, len(text)-3) {
		if !t.begins[int(text[i])<<8|int(text[i+1])] {
			continue
		}
		for _, sought := range t.by[[4]byte(text[i:])] {
			if bytes.HasPrefix(text[i:], sought.bytes) && !slices.Contains(found, sought.what) {
				found = append(found, sought.what)
			}
		}
	}
	return found
}

// traces are how a secret might be written down: as it is, in a URL, in hexadecimal, in
// base64 at the beginning of what was encoded or anywhere in it, and the same for the
// bytes that it carries.
func traces(what, value string) (all []trace) {
	forms := func(what string, value []byte) {
		digits := hex.EncodeToString(value)
		all = append(all, trace{what, value}, trace{what + " in hexadecimal", []byte(digits)}, trace{what + " in HEXADECIMAL", []byte(strings.ToUpper(digits))})
		for before := range 3 {
			for name, e := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
				all = append(all, trace{what + " in " + name, inside(e, value, before)})
			}
		}
	}
	forms(what, []byte(value))
	if escaped := url.QueryEscape(value); escaped != value {
		all = append(all, trace{what + " in a URL", []byte(escaped)})
	}
	if carried := carriedBy(value); carried != nil {
		forms(what+", decoded,", carried)
	}
	return all
}

// inside returns those digits of base64 that a value has when so many other bytes stand
// before it, whatever they are and whatever comes after it.
func inside(e *base64.Encoding, value []byte, before int) []byte {
	digits := e.EncodeToString(append(make([]byte, before), value...))
	return []byte(digits[(8*before+5)/6 : 8*(before+len(value))/6])
}

var ours = regexp.MustCompile(`(?:dw[a-z]+_|\.)([A-Za-z0-9_-]{22,})$`)

// carriedBy returns the last 16 bytes of an opaque token of ours or of the signature of a
// JWT. What precedes them (a time, an ID) may be no secret; whoever kept all kept these.
func carriedBy(value string) []byte {
	found := ours.FindStringSubmatch(value)
	if found == nil {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(found[1])
	if err != nil || len(raw) < 16 {
		return nil
	}
	return raw[len(raw)-16:]
}

// TestTracker: a secret is found in every form, wherever it stands.
func TestTracker(t *testing.T) {
	secret := "dwx_" + encoded(rand.Text()+rand.Text())
	raw, err := base64.RawURLEncoding.DecodeString(secret[4:])
	if err != nil {
		t.Fatal(err)
	}
	sought := newTracker(map[string]string{secret: "it"})
	for before := range 7 {
		for after := range 4 {
			for _, value := range []string{secret, string(raw)} {
				text := []byte(strings.Repeat("\xfb", before) + value + strings.Repeat("\xff", after))
				for name, written := range map[string]string{
					"plain": string(text), "hex": hex.EncodeToString(text), "HEX": strings.ToUpper(hex.EncodeToString(text)),
					"std": base64.StdEncoding.EncodeToString(text), "rawstd": base64.RawStdEncoding.EncodeToString(text),
					"url": base64.URLEncoding.EncodeToString(text), "rawurl": base64.RawURLEncoding.EncodeToString(text),
				} {
					if len(sought.in([]byte("a text, "+written))) == 0 {
						t.Errorf("%s is not found after %d bytes and before %d", name, before, after)
					}
				}
			}
		}
	}
	if found := sought.in([]byte("a text, " + secret[:len(secret)-12])); len(found) > 0 {
		t.Errorf("a part is taken for all: %v", found)
	}
}
