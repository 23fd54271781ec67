package redact_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/internal/redact"
)

func TestText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"openid profile", "openid profile"},
		{"dwr_", "dwr_"},
		{"dwr_AZrAbCdEfghijklmnop", "dwr_AZrAbCdE..."},
		{"scope 'dwa_AZrAbCdEfghijklmnop', unknown", "scope 'dwa_AZrAbCdE...', unknown"},
		{"dws_abc", "dws_..."},
		{"a dws_abcdefghijklmnopqrstuvwxyz word", "a dws_... word"},
		{"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJhbGci..."},
		{"/oauth/userinfo/eyJhbGciOiJub25lIn0.e30.", "/oauth/userinfo/eyJhbGci..."},
		{"eyJhbGciOiJFUzI1NiIsImtpZCI6IjEyMzQ1Njc4", "eyJhbGci..."}, // cut off
		{"?q=0123456789abcdef0123456789abcdef01", "?q=01234567..."},
		{"xPu0NtTpadQPTkweyJijDRfk7hpSr6xhcpCVRAQ7_M0", "xPu0NtTp..."}, // a secret with eyJ in it
		// Names of people's own.
		{"550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440000"},
		{"550e8400e29b41d4a716446655440000", "550e8400e29b41d4a716446655440000"},
		{"https://my-company-internal-application-production-2.example.com/cb", "https://my-company-internal-application-production-2.example.com/cb"},
		{"TheRedirectURIThatIsRegisteredForTheClient", "TheRedirectURIThatIsRegisteredForTheClient"},
		{"0qjk2m4n6p8rtvw0123456789a", "0qjk2m4n6p8rtvw0123456789a"}, // an ID of ours
	} {
		if got := redact.Text(c.in); got != c.want {
			t.Errorf("%q becomes %q, not %q", c.in, got, c.want)
		}
	}
}

func TestNothingOfASecretIsLeft(t *testing.T) {
	for range 1000 {
		raw := make([]byte, 32)
		rand.Read(raw)
		secret := base64.RawURLEncoding.EncodeToString(raw)
		for _, one := range []string{
			secret, hex.EncodeToString(raw), opaque.NewToken("dwc_", time.Now()), "dws_" + secret, "eyJhbGciOiJub25lIn0." + secret + "." + secret,
		} {
			for _, in := range []string{one, "client_id '" + one + "'", "/a/" + one + "/b"} {
				got := redact.Text(in)
				for at := 0; at+16 <= len(one); at += 4 {
					// What is left is shorter than that. A word without a digit, about one in
					// a thousand, may be somebody's name.
					if strings.Contains(got, one[at:at+16]) && strings.ContainsAny(secret, "0123456789") {
						t.Fatalf("%q becomes %q", in, got)
					}
				}
			}
		}
	}
}

func TestIdentifier(t *testing.T) {
	for in, want := range map[string]string{
		"0123456789abcdef0123456789abcdef0123": "0123456789abcdef0123456789abcdef0123",
		"dws_abcdefghijkl":                     "dws_...",
		"eyJhbGciOiJFUzI1NiJ9.e30.x":           "eyJhbGci...",
	} {
		if got := redact.Identifier(in); got != want {
			t.Errorf("%q becomes %q, not %q", in, got, want)
		}
	}
}
